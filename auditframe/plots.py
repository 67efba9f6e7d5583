"""Plots: a report's plot spec and answer, drawn on matplotlib Axes."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from functools import cache, singledispatch
from itertools import cycle
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import matplotlib.dates as mdates
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation

from auditframe.errors import ReportError
from auditframe.reports import REGISTRY, Bars, DailyBand, DailyBars, Heatmap, Marks, Points, Report, Spans
from auditframe.text import inert

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from auditframe.reports import PlotSpec
    from auditframe.reports._source import Source

MAX_LINES = 20
"""How many bars, spans or lines of points a plot shows; it says how many more there are."""

_WIDTH_IN = 9.0
_LINE_IN = 0.28
_FRAME_IN = 1.6
_DAILY_IN = 3.6
_LEGEND_BELOW_IN = 0.62
_LEGEND_COLUMNS = 5
_LABEL_CHARS = 48
_TITLE_CHARS = 64
_FEW_DAYS = 8
_LONGEST_STEPS = {mdates.HOURLY: 24, mdates.MINUTELY: 60, mdates.SECONDLY: 60}
_TICKS = dict.fromkeys((mdates.YEARLY, mdates.MONTHLY, mdates.DAILY), 7) | dict.fromkeys(_LONGEST_STEPS, 4)  # at most
_MINUTE = "%Y-%m-%d %H:%M"
_EDGE = 0.03  # of the time shown, left free on both sides

# From the palette of Okabe and Ito, which colour-blind readers can tell apart.
_BLUE, _ORANGE, _GREEN, _VERMILLION, _GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#767676"
_PURPLE, _SKY = "#CC79A7", "#56B4E9"
_FLAG_COLOURS = {True: _VERMILLION, False: _BLUE, None: _GREY}
_MARKS = (("D", _ORANGE), ("o", _VERMILLION), ("s", _GREEN))

# Event text is never parsed, neither as mathtext nor by TeX.
_LITERAL: dict[str, Any] = {"parse_math": False, "usetex": False}


def plot(report: Report[Any], source: Source, /, *, ax: Axes | None = None, **params: Any) -> Axes:
    """Draw a report's answer.

    Args:
        report: The report, such as `auditframe.reports.events_per_actor`.
        source: What it is asked of.
        ax: Where to draw; None makes a figure, which a notebook shows.
        params: The report's parameters.

    Returns:
        The Axes that were drawn on; without any event they say so.

    Raises:
        ReportError: The report has no plot.
    """
    spec, answer = spec_of(report), report.arrow(source, **params)
    beside = beside_of(report, source, **params)
    if ax is None:
        import matplotlib.pyplot as plt  # picks a backend, which a caller with Axes of its own does not need

        _, ax = plt.subplots(figsize=_size(spec, answer), layout="constrained")
    return _titled(draw(spec, answer, ax, beside=beside, asked=_asked(report, params)), report)


def figure(report: Report[Any], source: Source, /, **params: Any) -> Figure:
    """Draw a report's answer on a figure of its own, without a display; ``figure.savefig`` writes it to a file."""
    return figure_of(report, report.arrow(source, **params), beside=beside_of(report, source, **params), params=params)


def figure_of(
    report: Report[Any], answer: pa.Table, *, beside: pa.Table | None = None, params: Mapping[str, Any] | None = None
) -> Figure:
    """Draw an answer that a report has given, without asking again.

    Args:
        report: The report.
        answer: Its answer.
        beside: What `beside_of` gives; without it, marks are drawn on an empty plot.
        params: The parameters with which it was asked; None for the defaults.
    """
    spec = spec_of(report)
    made = Figure(figsize=_size(spec, answer), layout="constrained")
    _titled(draw(spec, answer, made.add_subplot(), beside=beside, asked=_asked(report, params or {})), report)
    return made


def beside_of(report: Report[Any], source: Source, /, **params: Any) -> pa.Table | None:
    """Ask the report on whose plot a report's answer is marked, with those parameters that it has too.

    Returns:
        Its answer; None when the report's plot stands by itself.
    """
    if not isinstance(report.plot, Marks):
        return None
    other = REGISTRY[report.plot.beside]
    shared = {parameter.name: params[parameter.name] for parameter in other.parameters if parameter.name in params}
    return other.arrow(source, **shared)


def spec_of(report: Report[Any]) -> PlotSpec:
    """Return what a report's plot shows.

    Raises:
        ReportError: It has none, or it is no report but the name of one.
    """
    if not isinstance(report, Report):
        name = report if isinstance(report, str) and report in REGISTRY else "login_failures"
        raise ReportError(
            f"A plot is drawn of a report, such as auditframe.reports.{name}, and not of a {type(report).__name__}.",
            report=None,
        )
    if report.plot is None:
        raise ReportError(f"{report.name} has no plot; its answer is the table.", report=report.name)
    return report.plot


def draw(
    spec: PlotSpec,
    answer: pa.Table,
    ax: Axes,
    *,
    beside: pa.Table | None = None,
    asked: Mapping[str, Any] | None = None,
) -> Axes:
    """Draw what a spec asks for from an answer's columns.

    Args:
        spec: What to show.
        answer: A report's answer; the units of its columns become axis labels.
        ax: Where to draw.
        beside: The answer on whose plot it is marked.
        asked: The values of the report's parameters, by name; a time zone among them is named on the axis.

    Returns:
        The same Axes.
    """
    ax.spines[["top", "right"]].set_visible(False)
    rows = answer.to_pylist()
    if isinstance(spec, Marks) and beside is not None and beside.num_rows:
        draw(spec_of(REGISTRY[spec.beside]), beside, ax)
        _draw(spec, rows, ax, {})
    elif rows:
        _draw(spec, rows, ax, _units(answer) | _zoned(spec, answer, asked or {}))
    else:
        _say(ax, "no findings" if "finding" in answer.schema.names else "no events")
    return ax


@singledispatch
def _draw(spec: object, rows: list[dict[str, Any]], ax: Axes, units: Mapping[str, str]) -> None:
    raise NotImplementedError(f"No plot is drawn for a {type(spec).__name__}.")


@_draw.register(Bars)
def _draw_bars(spec: Bars, rows: list[dict[str, Any]], ax: Axes, units: Mapping[str, str]) -> None:
    shown = rows[:MAX_LINES]
    values = [row[spec.value] for row in shown]
    flags = [row[spec.flag] if spec.flag else False for row in shown]
    colours = [_FLAG_COLOURS[flag] for flag in flags]
    bars = ax.barh(range(len(shown)), values, color=colours, height=0.7)
    ax.bar_label(bars, [f"{value:,}" for value in values], padding=3, fontsize="small", color=_GREY)
    _name_lines(ax, [_label(row, spec.label) for row in shown])
    ax.margins(x=0.08)
    rest = sum(row[spec.value] for row in rows[MAX_LINES:])
    ax.set_xlabel(units[spec.value] + _more(len(rows) - len(shown), f" with {rest:,} {units[spec.value]}"))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
    ax.xaxis.set_major_formatter("{x:,.0f}")
    if spec.flag:
        meanings = {True: spec.flag_meanings[0], False: spec.flag_meanings[1], None: "not known"}
        _legend(ax, [Patch(color=_FLAG_COLOURS[flag], label=meanings[flag]) for flag in meanings if flag in flags])


@_draw.register(DailyBars)
def _draw_daily_bars(spec: DailyBars, rows: list[dict[str, Any]], ax: Axes, units: Mapping[str, str]) -> None:
    days = [_number(row[spec.day]) for row in rows]
    ax.bar(days, [row[spec.value] for row in rows], width=0.85, color=_BLUE)
    _time_axis(ax, "day [UTC]")
    air = max(1, _FEW_DAYS - len(days)) / 2
    ax.set_xlim(min(days) - air, max(days) + air)
    if len(days) <= _FEW_DAYS:  # ticks between days would mean nothing
        ax.set_xticks(days, [row[spec.day].isoformat() for row in rows])
    ax.set_ylabel(units[spec.value])
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.yaxis.set_major_formatter("{x:,.0f}")


@_draw.register(DailyBand)
def _draw_daily_band(spec: DailyBand, rows: list[dict[str, Any]], ax: Axes, units: Mapping[str, str]) -> None:
    days = [_number(row[spec.day]) + 0.5 for row in rows]  # a day's middle: what is marked beside it has its hour
    limits, expected = ([row[column] for row in rows] for column in (spec.limit, spec.expected))
    ax.bar(days, [row[spec.value] for row in rows], width=0.85, color=_BLUE)
    _time_axis(ax, "time [UTC]")
    ax.set_ylabel(units[spec.value])
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.fill_between(days, limits, step="mid", color=_GREY, alpha=0.25, linewidth=0, zorder=0)
    ax.step(days, expected, where="mid", color=_GREY, linewidth=1.2)
    bar, band = Patch(color=_BLUE, label="seen"), Patch(color=_GREY, alpha=0.25, label="in 99 of 100 days")
    _legend(ax, [bar, Line2D([], [], color=_GREY, label="expected"), band])


@_draw.register(Marks)
def _draw_marks(spec: Marks, rows: list[dict[str, Any]], ax: Axes, units: Mapping[str, str]) -> None:
    """Mark each row by a band in the height of the plot and a triangle at the top, for what is too short to be seen."""
    kinds = sorted({row[spec.colour] for row in rows})
    colours = dict(zip(kinds, cycle((_VERMILLION, _ORANGE, _GREEN, _PURPLE, _SKY, "black")), strict=False))
    for row in rows:
        start, end = _number(row[spec.start]), _number(row[spec.end])
        colour = colours[row[spec.colour]]
        ax.axvspan(start, end, color=colour, alpha=0.3, zorder=3)
        ax.plot([(start + end) / 2], [0.97], "v", color=colour, transform=ax.get_xaxis_transform(), markersize=6)
    if ax.get_legend() is None:  # nothing is drawn beneath
        _time_axis(ax, "time [UTC]")
        ax.set_yticks([])
    old = ax.get_legend()
    held = list(old.legend_handles) if old else []
    marks = [Line2D([], [], linestyle="", marker="v", color=colours[kind], label=kind) for kind in kinds]
    _legend(ax, [*(handle for handle in held if handle), *marks])


@_draw.register(Spans)
def _draw_spans(spec: Spans, rows: list[dict[str, Any]], ax: Axes, units: Mapping[str, str]) -> None:
    shown = rows[-MAX_LINES:]
    columns = (spec.start, spec.end, *(column for column, _ in spec.marks))
    left, right = _limits([row[column] for row in shown for column in columns])
    for line, row in enumerate(shown):
        ends = [_number(row[column]) for column in (spec.start, spec.end) if row[column]]
        start, end = (_number(row[spec.start] or left), _number(row[spec.end] or right))
        ax.plot([start, end], [line, line], color=_BLUE, linewidth=3, solid_capstyle="butt", zorder=1)
        ax.plot(ends, [line] * len(ends), "|", color=_BLUE, markersize=11, markeredgewidth=2, zorder=2)
    handles: list[Artist] = [Line2D([], [], color=_BLUE, linewidth=3, label=spec.meaning)]
    for (column, meaning), (shape, colour) in zip(spec.marks, _MARKS, strict=False):
        places = [(_number(row[column]), line) for line, row in enumerate(shown) if row[column]]
        ax.scatter([at for at, _ in places], [line for _, line in places], marker=shape, color=colour, s=26, zorder=3)
        handles.append(Line2D([], [], linestyle="", marker=shape, color=colour, markersize=5, label=meaning))
    _name_lines(ax, [_label(row, spec.label) for row in shown])
    _time_axis(ax, "time [UTC]" + _more(len(rows) - len(shown), ", older"))
    ax.set_xlim(_number(left), _number(right))
    _legend(ax, handles)


@_draw.register(Points)
def _draw_points(spec: Points, rows: list[dict[str, Any]], ax: Axes, units: Mapping[str, str]) -> None:
    counts = Counter(row[spec.label] for row in rows)
    labels = sorted(counts, key=lambda label: (-counts[label], str(label)))
    lines = {label: line for line, label in enumerate(labels[:MAX_LINES])}
    shown = [row for row in rows if row[spec.label] in lines]
    places = [(_number(row[spec.at]), lines[row[spec.label]]) for row in shown]
    ax.scatter([at for at, _ in places], [line for _, line in places], s=16, color=_BLUE, alpha=0.5, linewidths=0)
    _name_lines(ax, [_label({spec.label: label}, (spec.label,)) for label in lines])
    ax.grid(axis="y", color="#DDDDDD", linewidth=0.6)
    ax.set_axisbelow(True)
    _time_axis(ax, "time [UTC]" + _more(len(labels) - len(lines), f" with {len(rows) - len(shown):,} points"))
    left, right = _limits([row[spec.at] for row in shown])
    ax.set_xlim(_number(left), _number(right))


@_draw.register(Heatmap)
def _draw_heatmap(spec: Heatmap, rows: list[dict[str, Any]], ax: Axes, units: Mapping[str, str]) -> None:
    lines = {row[spec.row]: None for row in rows}
    columns = sorted({row[spec.column] for row in rows})
    value = {(row[spec.row], row[spec.column]): row[spec.value] for row in rows}
    fields = [[value.get((line, column), 0) for column in columns] for line in lines]
    shown = ax.imshow(fields, cmap="Blues", vmin=0, aspect="auto")
    ax.set_xticks(range(len(columns)), [str(column) for column in columns], fontsize="small")
    _name_lines(ax, [str(line) for line in lines])
    ax.set_xlabel(units[spec.column])
    made: Any = ax.figure
    made.colorbar(shown, ax=ax, label=units[spec.value], format="{x:,.0f}")


def _size(spec: PlotSpec, answer: pa.Table) -> tuple[float, float]:
    """Return the width and the height of a figure [in]."""
    if isinstance(spec, DailyBars | DailyBand | Marks) or not answer.num_rows:
        return _WIDTH_IN, _DAILY_IN
    by_name = spec.label if isinstance(spec, Points) else spec.row if isinstance(spec, Heatmap) else None
    lines = len(answer[by_name].unique()) if by_name else answer.num_rows
    return _WIDTH_IN, _FRAME_IN + _LINE_IN * min(max(lines, 3), MAX_LINES)


def _titled(ax: Axes, report: Report[Any]) -> Axes:
    ax.set_title("\n".join(wrap(report.question, _TITLE_CHARS)), loc="left", fontsize="large", **_LITERAL)
    return ax


def _units(answer: pa.Table) -> dict[str, str]:
    return {field.name: (field.metadata or {}).get(b"unit", field.name.encode()).decode() for field in answer.schema}


def _zoned(spec: PlotSpec, answer: pa.Table, asked: Mapping[str, Any]) -> dict[str, str]:
    """Return the unit of the columns of a heatmap with the zone in which they are hours."""
    if isinstance(spec, Heatmap) and spec.zone and spec.zone in asked:
        return {spec.column: f"{_units(answer)[spec.column]} [{asked[spec.zone]}]"}
    return {}


def _asked(report: Report[Any], params: Mapping[str, Any]) -> dict[str, Any]:
    return {parameter.name: parameter.default for parameter in report.parameters} | dict(params)


def _say(ax: Axes, text: str) -> None:
    ax.set_axis_off()
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=_GREY, fontsize="x-large")


def _more(hidden: int, what: str) -> str:
    """Say under an axis label what the plot leaves out."""
    return f"\nand {hidden:,} more{what}, not shown" if hidden > 0 else ""


def _legend(ax: Axes, handles: Sequence[Artist]) -> None:
    """Put the legend under the axis label, where it covers nothing."""
    below = ScaledTranslation(0, -_LEGEND_BELOW_IN, ax.figure.dpi_scale_trans)
    ax.legend(
        handles=handles,
        loc="upper right",
        bbox_to_anchor=(1, 0),
        bbox_transform=ax.transAxes + below,
        ncols=min(len(handles), _LEGEND_COLUMNS),
        frameon=False,
        fontsize="small",
    )


def _name_lines(ax: Axes, labels: Sequence[str]) -> None:
    """Name the lines from the top down; text of events is shown as it is and never parsed."""
    ax.set_yticks(range(len(labels)), labels, fontsize="small", **_LITERAL)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(labels) - 0.4, -0.6)


def _time_axis(ax: Axes, label: str) -> None:
    locator = mdates.AutoDateLocator(tz=UTC, minticks=3, maxticks=_TICKS, interval_multiples=False)  # type: ignore[no-untyped-call]
    for unit, step in _LONGEST_STEPS.items():  # few ticks, because a date with its time is wide
        locator.intervald[unit] = [*locator.intervald[unit], step]
    ax.xaxis.set_major_locator(locator)
    ax.tick_params(axis="x", labelsize="small")
    formatter = mdates.AutoDateFormatter(locator, tz=UTC)  # type: ignore[no-untyped-call]
    formatter.scaled |= {
        1 / 24: _MINUTE,
        1 / 1440: _MINUTE,
        1 / 86_400: f"{_MINUTE}:%S",
    }  # by the distance of the ticks [days]
    ax.xaxis.set_major_formatter(formatter)
    ax.set_xlabel(label)


def _limits(instants: Sequence[datetime | None]) -> tuple[datetime, datetime]:
    """Return the time to show: all instants, and some air."""
    known = [instant for instant in instants if instant] or [datetime(1970, 1, 1, tzinfo=UTC)]
    air = (max(known) - min(known)) * _EDGE or timedelta(hours=1)
    return min(known) - air, max(known) + air


def _number(instant: date) -> float:
    """Return a day or an instant as matplotlib counts them [days]."""
    return float(mdates.date2num(instant))  # type: ignore[no-untyped-call]


def _label(row: Mapping[str, Any], columns: Sequence[str]) -> str:
    parts = [_shown(row[column], none=f"(no {column})") for column in columns]
    room = max(map(len, parts)) if len("".join(parts)) <= _LABEL_CHARS else _LABEL_CHARS // len(parts)
    return "  ".join(part if len(part) <= room else part[: room - 1] + "…" for part in parts)


def _shown(value: object, *, none: str) -> str:
    text = none if value is None else inert(str(value)) or '""'
    return "".join(char if ord(char) in _glyphs() else _escape(char) for char in text)


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


@cache
def _glyphs() -> frozenset[int]:
    """Return the characters that the font can draw; the others would all become the same box."""
    return frozenset(get_font(findfont(FontProperties())).get_charmap())
