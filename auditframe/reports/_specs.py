"""Plot specs: what a report's plot shows, as data; `auditframe.plots` draws them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bars:
    """One horizontal bar a row, in the answer's order.

    Attributes:
        label: The columns that together name a row.
        value: The number that is the bar's length.
        flag: A flag that colours the bar, null in grey; None leaves all bars alike.
        flag_meanings: What the legend says of a flag that is set, and of one that is not.
    """

    label: tuple[str, ...]
    value: str
    flag: str | None = None
    flag_meanings: tuple[str, str] = ("yes", "no")


@dataclass(frozen=True, slots=True)
class DailyBars:
    """One vertical bar a UTC day.

    Attributes:
        day: The column with the day.
        value: The number that is the bar's height.
    """

    day: str
    value: str


@dataclass(frozen=True, slots=True)
class Spans:
    """One line a row, from one instant to another, with marks on it.

    Attributes:
        label: The columns that together name a row.
        start: Where the line begins; null reaches back beyond the plot.
        end: Where it ends; null reaches on beyond the plot.
        marks: Columns of instants to mark on the line, each with what the legend calls it.
        meaning: What the legend calls the line.
    """

    label: tuple[str, ...]
    start: str
    end: str
    marks: tuple[tuple[str, str], ...] = ()
    meaning: str = "from creation to deletion"


@dataclass(frozen=True, slots=True)
class Points:
    """One point a row, on a line for each label.

    Attributes:
        at: The column with the instant.
        label: The column that names the line.
    """

    at: str
    label: str


@dataclass(frozen=True, slots=True)
class Heatmap:
    """One coloured field for each pair of a row and a column.

    Attributes:
        row: The column with the names of the rows, in the answer's order from the top down.
        column: The column with the whole numbers that name the columns, in increasing order.
        value: The number that is the field's colour.
        zone: The parameter that names the time zone of the columns; None when they are no hours.
    """

    row: str
    column: str
    value: str
    zone: str | None = None


@dataclass(frozen=True, slots=True)
class DailyBand:
    """One vertical bar a UTC day, over the band of what was to be expected.

    Attributes:
        day: The column with the day.
        value: The number that is the bar's height.
        expected: The number that was to be expected.
        limit: The number up to which the band reaches; it begins at 0.
    """

    day: str
    value: str
    expected: str
    limit: str


@dataclass(frozen=True, slots=True)
class Marks:
    """One mark a row, from one instant to another, on the plot of another report of the same events.

    Attributes:
        start: Where the mark begins.
        end: Where it ends.
        colour: The column by which marks are coloured.
        beside: The name of the report on whose plot they are drawn.
    """

    start: str
    end: str
    colour: str
    beside: str


PlotSpec = Bars | DailyBars | DailyBand | Spans | Points | Heatmap | Marks
