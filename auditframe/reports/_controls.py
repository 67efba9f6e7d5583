"""The controls that reports support evidence for, as data, read from ``controls.csv``."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Control:
    """One control of a framework.

    Attributes:
        framework: ``SOC 2``, ``ISO/IEC 27001:2022`` or ``NIST SP 800-53 r5``.
        number: Its number in the framework, ``CC6.1``.
        about: What it asks for, in a few words of ours.
    """

    framework: str
    number: str
    about: str

    @property
    def name(self) -> str:
        """The framework and the number, as reports name it."""
        return f"{self.framework} {self.number}"


@cache
def controls() -> Mapping[str, Control]:
    """Return the controls by name, framework by framework."""
    text = resources.files("auditframe.reports").joinpath("controls.csv").read_text(encoding="utf-8")
    found = (Control(**row) for row in csv.DictReader(text.splitlines()))
    return {control.name: control for control in found}
