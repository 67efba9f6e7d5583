"""Reports: named questions, one decorated function each.

A new report is one function in a module of its theme; a new theme is one more line below.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from auditframe.errors import UnknownReportError, did_you_mean
from auditframe.reports._backtest import backtest as backtest
from auditframe.reports._base import Report as Report
from auditframe.reports._base import check as check
from auditframe.reports._base import report as report
from auditframe.reports._columns import ReportColumn as ReportColumn
from auditframe.reports._controls import Control as Control
from auditframe.reports._controls import controls as controls
from auditframe.reports._parameters import Parameter as Parameter
from auditframe.reports._relations import Relation as Relation
from auditframe.reports._source import as_events as as_events
from auditframe.reports._specs import Bars as Bars
from auditframe.reports._specs import DailyBand as DailyBand
from auditframe.reports._specs import DailyBars as DailyBars
from auditframe.reports._specs import Heatmap as Heatmap
from auditframe.reports._specs import Marks as Marks
from auditframe.reports._specs import PlotSpec as PlotSpec
from auditframe.reports._specs import Points as Points
from auditframe.reports._specs import Spans as Spans

# The themes in the order in which a reader meets them; each star is a theme, whose reports stand in no other list.
# isort: off
from auditframe.reports.activity import *  # noqa: F403
from auditframe.reports.actors import *  # noqa: F403
from auditframe.reports.habits import *  # noqa: F403
from auditframe.reports.logins import *  # noqa: F403
from auditframe.reports.attacks import *  # noqa: F403
from auditframe.reports.anomalies import *  # noqa: F403
from auditframe.reports.travel import *  # noqa: F403
from auditframe.reports.keys import *  # noqa: F403
from auditframe.reports.key_use import *  # noqa: F403
from auditframe.reports.members import *  # noqa: F403
from auditframe.reports.accounts import *  # noqa: F403
from auditframe.reports.grants import *  # noqa: F403
from auditframe.reports.revocations import *  # noqa: F403
from auditframe.reports.changes import *  # noqa: F403
from auditframe.reports.projects import *  # noqa: F403
from auditframe.reports.safeguards import *  # noqa: F403
from auditframe.reports.allowlists import *  # noqa: F403
from auditframe.reports.collection import *  # noqa: F403
from auditframe.reports.findings import *  # noqa: F403
# isort: on

if TYPE_CHECKING:
    from collections.abc import Mapping

REGISTRY: Mapping[str, Report[Any]] = MappingProxyType(
    {name: value for name, value in globals().items() if isinstance(value, Report)}
)
"""Every report by name, in the order of the themes and, within one, of its module."""


def get(name: str) -> Report[Any]:
    """Return the report of a name.

    Raises:
        UnknownReportError: There is none.
    """
    if name in REGISTRY:
        return REGISTRY[name]
    raise UnknownReportError(
        f"There is no report {name!r}.{did_you_mean(name, REGISTRY)} The reports are {', '.join(REGISTRY)}.",
        report=name,
    )
