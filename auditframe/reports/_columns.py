"""The columns of answers: what each holds, in words and as an Arrow type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from auditframe.schema import ARROW_TYPES, Kind

AnswerKind = Kind | Literal["day"]
"""What a column of an answer holds: a kind of `schema.Kind`, or a calendar day in UTC."""

_DAY_TYPE = pa.date32()


@dataclass(frozen=True, slots=True)
class ReportColumn:
    """One column of a report's answer.

    Attributes:
        name: The column's name.
        kind: What it holds.
        doc: One sentence; says what null means where a null can be.
        unit: What a number counts or measures; None where there is nothing to count.
    """

    name: str
    kind: AnswerKind
    doc: str
    unit: str | None = None

    @property
    def type(self) -> pa.DataType:
        """The Arrow type of the column."""
        return _DAY_TYPE if self.kind == "day" else ARROW_TYPES[self.kind]

    @property
    def field(self) -> pa.Field[pa.DataType]:
        """The Arrow field of the column; its metadata holds doc and unit."""
        unit = {"unit": self.unit} if self.unit else {}
        return pa.field(self.name, self.type, metadata={"doc": self.doc, **unit})


ACTOR = ReportColumn(
    "actor", "text", "Who did it: e-mail address, else id, else id of the API key; null if nobody is named."
)
EVENT_ID = ReportColumn("event_id", "text", "Id of the event.")
EVENT_IDS = ReportColumn("event_ids", "texts", "Ids of the events that the row rests on, in time order.")

FINDING_COLUMNS = (
    ReportColumn("finding", "text", "Id of the finding, the same at every run: the check, and what it rests on."),
    ReportColumn("severity", "text", "How much attention it deserves: info, low, medium, high or critical."),
    ReportColumn("effective_at", "instant", "When it happened, or began, in UTC."),
    ReportColumn("actor", "text", "Who did it, or whom it is about; null if nobody is named."),
    ReportColumn("resource_id", "text", "What it was done to; null if there is no such thing."),
    EVENT_IDS,
    ReportColumn("why", "text", "What was found, in a sentence."),
)
"""The columns that the answer of every check begins with."""
