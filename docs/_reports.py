"""The pages about reports: an index, a page a theme, the controls, and answers on the made-up organization."""

from __future__ import annotations

import importlib
import tempfile
import warnings
from collections import Counter
from functools import cache, partial
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditframe import reports
from auditframe.client import Client
from auditframe.errors import AuditFrameWarning
from auditframe.lake import Events, Lake
from auditframe.render import to_records, to_table
from auditframe.reports import REGISTRY, controls
from auditframe.snapshot import snapshot
from docs._markdown import block, code, page, table
from docs._pages import END, START, endpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import pyarrow as pa

    from auditframe.reports import Parameter, Report

_WIDTH = 116
_ROWS, _RECORDS = 5, 2

_LEAD = """
A report is a named question: a function of `auditframe.reports` and a command, `auditframe report NAME`, whose options
are its parameters. A **check** is a report that judges: each row of its answer is a finding with a severity and the
events that it rests on. Below each report stands what it answers on the made-up organization of `make demo`, and at the
end of a page the SQL of what its reports ask first.
""".strip()


def report_pages() -> Mapping[str, Callable[[], str]]:
    """Return what writes each page about reports, by the page's name."""
    themes = {f"reports/{theme}": partial(_theme_page, theme) for theme in _themes()}
    return {"reports": _index, **themes, "controls": _controls_page}


def report_table() -> str:
    """List the reports, a line a theme."""
    rows = (
        (_title(theme), ", ".join(f"[`{each.name}`]({_place(each, 'docs/reference/')})" for each in found))
        for theme, found in _themes().items()
    )
    return table(("about", "reports"), rows)


@cache
def pictured() -> Mapping[str, tuple[Report[Any], pa.Table]]:
    """Return what is shown, by the name of the image: every report as it is asked by default, and some asked closer."""
    with tempfile.TemporaryDirectory() as folder:
        lake = _collected(Path(folder))
        events = Events(table=lake.to_arrow(), lake=lake.path)  # its files are opened once, not for each
        with warnings.catch_warnings(action="ignore", category=AuditFrameWarning):  # there are no approved changes
            answers = {name: (report, report.arrow(events)) for name, report in REGISTRY.items()}
        return answers | {
            name: (REGISTRY[asked], REGISTRY[asked].arrow(events, **values))
            for name, (asked, values) in _asked_closer(answers["resource_history"][1]).items()
        }


def _collected(folder: Path) -> Lake:
    """Collect the made-up organization into a lake, ledger and all."""
    lake = Lake(folder)
    with endpoint() as environment:
        client = Client(environment["OPENAI_ADMIN_KEY"], base_url=environment["OPENAI_BASE_URL"])
        with client:
            snapshot(lake, client, start=START, end=END)
    return lake


def _asked_closer(history: pa.Table) -> Mapping[str, tuple[str, dict[str, Any]]]:
    """Return which report is asked with which values, by the name of the image."""
    pairs = set(zip(history["resource_id"].to_pylist(), history["type"].to_pylist(), strict=True))
    most_varied, _ = Counter(resource for resource, _ in sorted(pairs)).most_common(1)[0]
    return {
        "readme": ("login_failures", {"min_failures": 10}),
        "resource_history": ("resource_history", {"resource_id": most_varied}),
    }


def _themes() -> Mapping[str, list[Report[Any]]]:
    """Return the reports of each theme, in the order of the registry."""
    themes: dict[str, list[Report[Any]]] = {}
    for each in REGISTRY.values():
        themes.setdefault(each.theme, []).append(each)
    return themes


def _title(theme: str) -> str:
    """Return a theme's title: what its module says of itself, up to the colon."""
    module = importlib.import_module(f"{reports.__name__}.{theme}")
    return (module.__doc__ or theme).partition("\n")[0].partition(":")[0].rstrip(".")


def _place(report: Report[Any], root: str = "") -> str:
    return f"{root}reports/{report.theme}.md#{report.name}"


def _index() -> str:
    parts = []
    for theme, found in _themes().items():
        rows = [
            (
                f"[`{each.name}`]({_place(each)})",
                each.question,
                f"check, {each.severity}" if each.is_check else "report",
            )
            for each in found
        ]
        parts += [f"## [{_title(theme)}](reports/{theme}.md)", table(("report", "the question it answers", ""), rows)]
    toctree = "\n".join(["```{toctree}", ":hidden:", "", *(f"reports/{theme}" for theme in _themes()), "```"])
    return page("Reports", _LEAD, *parts, toctree)


def _theme_page(theme: str) -> str:
    module = importlib.import_module(f"{reports.__name__}.{theme}")
    found = _themes()[theme]
    return page(_title(theme), (module.__doc__ or "").partition("\n")[0], *map(_report, found), *_beside(found))


def _beside(found: Sequence[Report[Any]]) -> Iterator[str]:
    """Give the SQL of what the reports of a theme ask first, each once, in the order in which they do."""
    named = [each for report in found for relation in report.relations for each in (*relation.needs, relation)]
    asked = {(each.name, each.sql): each for each in named if each.sql}
    if asked:
        yield "## What these reports ask first"
    for each in asked.values():
        yield f"`{each.name}`: {each.doc}\n\n{block(cleandoc(each.sql or ''), 'sql')}"


def _controls_page() -> str:
    lead = "Which reports support evidence for which control. The words are ours; the frameworks' own texts count."
    rows = [
        (
            control.framework,
            control.number,
            control.about,
            ", ".join(_supporting(name)) or "none: this log is silent on it",
        )
        for name, control in controls().items()
    ]
    return page("Controls", lead, table(("framework", "control", "asks for", "reports"), rows))


def _supporting(control: str) -> list[str]:
    return [f"[`{each.name}`]({_place(each)})" for each in REGISTRY.values() if control in each.controls]


def _report(report: Report[Any]) -> str:
    parameters = [_parameter(each) for each in report.parameters]
    columns = ((code(each.name), code(str(each.type)), each.unit or "", each.doc) for each in report.columns)
    kind = f"A check; its findings are of severity {report.severity} at most." if report.is_check else ""
    answer = pictured()[report.name][1]
    picture = f"![{report.question}](../../images/{report.name}.png)" if report.plot and answer.num_rows else ""
    beside = "\n".join(f"- `{each.name}`, a table beside `events`: {each.doc}" for each in report.relations)
    parts = [
        f"## `{report.name}`",
        f"**{report.question}**",
        " ".join(report.doc.split()),
        kind,
        picture,
        _answer(answer),
        table(("parameter", "value", "default", ""), parameters) if parameters else "It has no parameters.",
        table(("column", "Arrow type", "unit", ""), columns),
        f"Supports evidence for: {'; '.join(report.controls)}.",
        block(report.sql(), "sql"),
        beside,
    ]
    return "\n\n".join(filter(None, parts))


def _answer(answer: pa.Table) -> str:
    """Show the first rows of an answer: as a table when its columns find room in a line, else as records."""
    if not answer.num_rows:
        return "On the made-up organization it finds nothing."
    shown = to_table(answer.slice(0, _ROWS), width=_WIDTH)
    is_narrow = "(no room for" not in shown
    rows = min(answer.num_rows, _ROWS if is_narrow else _RECORDS)
    told = f"The first {rows} of {answer.num_rows:,} rows:" if rows < answer.num_rows else f"All {rows} row(s):"
    return f"{told}\n\n{block(shown if is_narrow else to_records(answer.slice(0, rows), width=_WIDTH))}"


def _parameter(parameter: Parameter) -> tuple[str, ...]:
    return code(parameter.name), parameter.expected, code(repr(parameter.default)), parameter.doc
