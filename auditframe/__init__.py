"""The OpenAI organization audit log as a DataFrame, a lake of Parquet and reports an auditor can trace.

Names resolve on first use, so importing the package loads no pandas, DuckDB or matplotlib.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from auditframe import catalogue, emulator, errors, reports, sample, schema
    from auditframe.client import Client, Filters, Retry
    from auditframe.coverage import coverage
    from auditframe.errors import AuditFrameError, AuditFrameWarning
    from auditframe.flatten import Flattened, flatten, flatten_events
    from auditframe.lake import Events, Lake
    from auditframe.load import load
    from auditframe.plots import plot
    from auditframe.reports import backtest
    from auditframe.snapshot import SnapshotResult, snapshot
    from auditframe.window import Window

__version__ = "0.1.0"

__all__ = [
    "AuditFrameError",
    "AuditFrameWarning",
    "Client",
    "Events",
    "Filters",
    "Flattened",
    "Lake",
    "Retry",
    "SnapshotResult",
    "Window",
    "__version__",
    "backtest",
    "catalogue",
    "coverage",
    "emulator",
    "errors",
    "flatten",
    "flatten_events",
    "load",
    "plot",
    "reports",
    "sample",
    "schema",
    "snapshot",
]

_MODULES = frozenset({"catalogue", "emulator", "errors", "reports", "sample", "schema"})
_HOMES = {
    "AuditFrameError": "errors",
    "AuditFrameWarning": "errors",
    "Client": "client",
    "Events": "lake",
    "Filters": "client",
    "Flattened": "flatten",
    "Lake": "lake",
    "Retry": "client",
    "SnapshotResult": "snapshot",
    "Window": "window",
    "backtest": "reports",
    "coverage": "coverage",
    "flatten": "flatten",
    "flatten_events": "flatten",
    "load": "load",
    "plot": "plots",
    "snapshot": "snapshot",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _Package(ModuleType):
    """Keeps `coverage`, `flatten`, `load` and `snapshot` the functions, though submodules of these names exist.

    The import system binds a submodule to its package as soon as anybody imports it.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
