from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import pyarrow as pa
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from auditframe import plots, reports
from auditframe.errors import ReportError
from auditframe.flatten import flatten_events
from auditframe.reports import REGISTRY, Bars, DailyBand, DailyBars, Heatmap, Marks, Points, Report, Spans
from auditframe.schema import arrow_schema
from tests.report_cases import cases_of, lake_of, parameters_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from matplotlib.axes import Axes

    from auditframe.reports import PlotSpec

START = 1_767_225_600  # 2026-01-01
HOSTILE = [
    r"$\frac{",
    "$x$ and $y$",
    r"\$100",
    "\x1b[31mred",
    "\u202egnp.exe",
    "line\nbreak\u2028",
    "日本 \U0001f600",
    "%s {0} _under_ ^",
    "x" * 5_000,
    "",
]

PLOTTED = {name: report for name, report in REGISTRY.items() if report.plot}
every_plotted = pytest.mark.parametrize("report", PLOTTED.values(), ids=PLOTTED)

EMPTY = frozenset({"no events", "no findings"})


@pytest.fixture(autouse=True)
def _without_a_display() -> Iterator[None]:
    with mpl.rc_context({"backend": "agg"}):
        yield
    import matplotlib.pyplot as plt

    plt.close("all")


def events_by(actors: list[str], *, types: tuple[str, ...] = ("login.failed", "api_key.created")) -> pa.Table:
    """One event of each type by each actor, an hour apart, about a resource named like the actor."""
    return flatten_events(
        {
            "id": f"e{number}-{type_}",
            "type": type_,
            "effective_at": START + number * 3_600,
            "actor": {"type": "session", "session": {"ip_address": actor, "user": {"id": actor, "email": actor}}},
            type_: {"id": actor or "nobody"},
        }
        for number, actor in enumerate(actors)
        for type_ in types
    ).events


def png(figure: Figure) -> bytes:
    sink = io.BytesIO()
    figure.savefig(sink, format="png")
    return sink.getvalue()


def words(ax: Axes) -> list[str]:
    figure = ax.figure
    assert isinstance(figure, Figure)
    figure.canvas.draw()
    return [text.get_text() for text in ax.findobj(Text) if isinstance(text, Text) and text.get_text()]


def drawn(spec: PlotSpec, rows: list[dict[str, Any]]) -> Axes:
    return plots.draw(spec, pa.Table.from_pylist(rows), Figure(layout="constrained").add_subplot())


@every_plotted
@pytest.mark.filterwarnings("ignore:Nobody has read")  # cases of coverage have gaps
def test_every_plot_draws_an_answer(report: Report[Any], tmp_path: Path) -> None:
    case = next(case for case in cases_of(report.name) if case["expected"])
    figure = plots.figure(report, lake_of(case, tmp_path / "lake"), **parameters_of(case, tmp_path))

    assert png(figure).startswith(b"\x89PNG")
    assert figure.axes[0].get_title(loc="left").replace("\n", " ") == report.question
    assert not EMPTY & set(words(figure.axes[0]))


@every_plotted
def test_an_empty_answer_is_said_and_no_error(report: Report[Any]) -> None:
    figure = plots.figure_of(report, report.schema.empty_table())

    assert EMPTY & set(words(figure.axes[0])) == {"no findings" if "finding" in report.schema.names else "no events"}


def test_a_report_without_a_plot_says_so() -> None:
    bare = replace(reports.events_per_day, plot=None)

    with pytest.raises(ReportError, match="events_per_day has no plot"):
        plots.plot(bare, arrow_schema().empty_table())
    with pytest.raises(ReportError, match="events_per_day has no plot"):
        plots.figure(bare, arrow_schema().empty_table())


@pytest.mark.parametrize(("given", "name"), [("api_keys", "api_keys"), ("api_kyes", "login_failures")])
def test_the_name_of_a_report_is_no_report_to_plot_and_the_message_says_what_is(given: Any, name: str) -> None:
    with pytest.raises(ReportError, match=rf"such as auditframe\.reports\.{name}, and not of a str"):
        plots.plot(given, arrow_schema().empty_table())


def test_a_heatmap_has_a_field_for_each_pair_and_a_scale() -> None:
    rows = [{"day": day, "hour": hour, "events": hour * 10} for day in ("Mon", "Tue") for hour in (0, 1, 2)]
    ax = drawn(Heatmap(row="day", column="hour", value="events"), rows)
    (image,) = ax.images

    assert image.get_array().tolist() == [[0, 10, 20], [0, 10, 20]]  # type: ignore[union-attr]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["Mon", "Tue"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "1", "2"]


def test_a_heatmap_says_whose_hours_it_shows() -> None:
    events = events_by(["a@example.com"])
    asked = {zone: plots.figure(reports.activity_heatmap, events, zone=zone) for zone in ("UTC", "Asia/Kolkata")}
    drawn_later = plots.figure_of(reports.activity_heatmap, reports.activity_heatmap.arrow(events))
    in_notebook = plots.plot(reports.activity_heatmap, events, zone="Asia/Kolkata")

    assert {zone: made.axes[0].get_xlabel() for zone, made in asked.items()} == {
        "UTC": "hour of the day [UTC]",
        "Asia/Kolkata": "hour of the day [Asia/Kolkata]",
    }
    assert drawn_later.axes[0].get_xlabel() == "hour of the day [UTC]"
    assert in_notebook.get_xlabel() == "hour of the day [Asia/Kolkata]"


@pytest.mark.parametrize("minutes", [0, 0.4, 2.9, 10, 179, 181, 71 * 60, 73 * 60, 40 * 1440, 900 * 1440])
def test_every_tick_of_a_time_axis_has_its_year_and_room(minutes: float) -> None:
    start = datetime(2026, 8, 19, 22, 59, tzinfo=UTC)
    rows = [{"at": at, "label": "x" * 48} for at in (start, start + timedelta(minutes=minutes))]
    figure = Figure(figsize=(9, 2.5), layout="constrained")
    ax = plots.draw(Points("at", "label"), pa.Table.from_pylist(rows), figure.add_subplot())
    png(figure)
    left, right = ax.get_xlim()
    ticks = [label for label in ax.get_xticklabels() if left <= label.get_position()[0] <= right]
    places = [tick.get_window_extent() for tick in ticks]

    assert len(ticks) > 1
    assert all(tick.get_text().startswith("202") for tick in ticks)
    assert all(one.x1 < other.x0 for one, other in pairwise(places))


@every_plotted
def test_hostile_text_is_drawn_and_not_obeyed(report: Report[Any]) -> None:
    figure = plots.figure(report, events_by(HOSTILE, types=("login.failed", "api_key.created", r"$\frac{.x")))

    assert png(figure).startswith(b"\x89PNG")
    for text in words(figure.axes[0]):
        assert not {"\x1b", "\u202e", "\u2028"} & set(text)


def test_event_text_is_shown_as_it_is() -> None:
    ax = plots.figure(reports.events_per_actor, events_by(HOSTILE)).axes[0]
    shown = words(ax)

    assert r"$\frac{" in shown
    assert r"\x1b[31mred" in shown
    assert r"\u202egnp.exe" in shown
    assert not any(label.get_parse_math() or label.get_usetex() for label in ax.get_yticklabels())


def test_text_the_font_cannot_draw_is_escaped() -> None:
    shown = words(plots.figure(reports.events_per_actor, events_by(["日本"])).axes[0])

    assert r"\u65e5\u672c" in shown


def test_long_text_is_cut_with_a_mark() -> None:
    shown = words(plots.figure(reports.events_per_actor, events_by(["x" * 5_000])).axes[0])

    assert "x" * 47 + "…" in shown


def test_what_is_missing_is_named() -> None:
    shown = words(drawn(Bars(("actor",), "events"), [{"actor": None, "events": 1}]))

    assert "(no actor)" in shown


def test_bars_say_how_many_are_not_shown() -> None:
    rows = [{"actor": f"user{number}", "events": 3} for number in range(plots.MAX_LINES + 4)]
    ax = drawn(Bars(("actor",), "events"), rows)

    assert len(ax.patches) == plots.MAX_LINES
    assert ax.get_xlabel() == "events\nand 4 more with 12 events, not shown"


def test_bars_stand_in_the_order_of_the_answer_from_the_top() -> None:
    ax = drawn(Bars(("actor",), "events"), [{"actor": "a", "events": 2}, {"actor": "b", "events": 1}])
    bottom, top = ax.get_ylim()

    assert bottom > top
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]


def test_a_flag_has_a_colour_for_yes_no_and_not_known() -> None:
    rows = [{"actor": "a", "events": 1, "known": known} for known in (True, False, None)]
    ax = drawn(Bars(("actor",), "events", flag="known", flag_meanings=("good", "bad")), rows)
    legend = ax.get_legend()
    assert legend is not None

    assert len({patch.get_facecolor() for patch in ax.patches}) == 3
    assert [text.get_text() for text in legend.get_texts()] == ["good", "bad", "not known"]


def test_few_days_have_a_tick_each_and_nothing_between() -> None:
    rows = [{"day": date(2026, 1, day), "events": day} for day in (1, 2, 3)]
    ax = drawn(DailyBars("day", "events"), rows)

    assert [label.get_text() for label in ax.get_xticklabels()] == ["2026-01-01", "2026-01-02", "2026-01-03"]
    assert ax.get_xlabel() == "day [UTC]"


def test_a_span_without_ends_reaches_across() -> None:
    at = pa.scalar(START, pa.timestamp("s", "UTC")).as_py()
    row = {"key": "k", "made": None, "gone": None, "used": at}
    ax = drawn(Spans(("key",), "made", "gone", (("used", "last used"),)), [row])
    line = [float(x) for x in ax.lines[0].get_xdata()]  # type: ignore[arg-type, union-attr]

    assert tuple(line) == ax.get_xlim()


def test_points_of_the_rarest_labels_are_left_out_and_counted() -> None:
    at = pa.scalar(START, pa.timestamp("s", "UTC")).as_py()
    rows = [{"at": at, "label": f"l{number:02}"} for number in range(plots.MAX_LINES + 1) for _ in range(40 - number)]
    ax = drawn(Points("at", "label"), rows)

    assert "l20" not in words(ax)
    assert ax.get_xlabel() == "time [UTC]\nand 1 more with 20 points, not shown"


def _day(day: int, failures: int) -> dict[str, Any]:
    return {"day": date(2026, 1, day), "failures": failures, "expected": 2.5, "limit": 6}


def test_a_band_stands_behind_the_bars_of_its_days() -> None:
    ax = drawn(DailyBand("day", "failures", "expected", "limit"), [_day(1, 2), _day(2, 9)])
    (band,) = ax.collections
    legend = ax.get_legend()
    assert legend is not None

    assert [bar.get_height() for bar in ax.patches] == [2, 9]  # type: ignore[attr-defined]
    assert band.get_paths()[0].get_extents().y1 == 6
    assert [text.get_text() for text in legend.get_texts()] == ["seen", "expected", "in 99 of 100 days"]


MARKS = Marks(start="start", end="end", colour="pattern", beside="login_failures_per_day")


def _marked(beside: pa.Table | None) -> Axes:
    at = pa.scalar(START, pa.timestamp("s", "UTC")).as_py()
    rows = [{"start": at, "end": at, "pattern": pattern} for pattern in ("burst", "spray")]
    return plots.draw(MARKS, pa.Table.from_pylist(rows), Figure(layout="constrained").add_subplot(), beside=beside)


def test_marks_stand_on_the_plot_of_the_report_beside_them() -> None:
    beside = reports.login_failures_per_day.arrow(events_by(["a@example.com"], types=("login.failed",)))
    legend = _marked(beside).get_legend()
    assert legend is not None

    assert [text.get_text() for text in legend.get_texts()][:2] == ["seen", "expected"]
    assert [text.get_text() for text in legend.get_texts()][-2:] == ["burst", "spray"]


def test_marks_without_a_plot_beside_them_stand_alone() -> None:
    ax = _marked(None)
    legend = ax.get_legend()
    assert legend is not None

    assert [text.get_text() for text in legend.get_texts()] == ["burst", "spray"]
    assert ax.get_xlabel() == "time [UTC]"


def test_the_plot_beside_is_asked_with_the_parameters_that_both_reports_have() -> None:
    events = events_by(["a@example.com"] * 200, types=("login.failed", "login.succeeded"))
    beside = plots.beside_of(reports.login_failure_anomalies, events, fdr=0.05, history_days=1)

    assert beside == reports.login_failures_per_day.arrow(events, history_days=1)
    assert beside != reports.login_failures_per_day.arrow(events)


def test_a_plot_that_stands_by_itself_asks_nothing_else() -> None:
    assert plots.beside_of(reports.events_per_day, events_by(["a@example.com"])) is None


def test_plot_draws_where_it_is_told() -> None:
    ax = Figure().add_subplot()

    assert plots.plot(reports.events_per_day, events_by(["a@example.com"]), ax=ax) is ax


def test_plot_makes_a_figure_of_pyplot_otherwise() -> None:
    import matplotlib.pyplot as plt

    ax = plots.plot(reports.login_failures, events_by(["a@example.com"]), min_failures=2)

    assert ax.figure is plt.gcf()
    assert "no events" in words(ax)
