"""Writes the generated parts of the documentation; with ``--check``, names each part that is not up to date.

The reference pages and the marked sections are loops over the registries, the outputs are what the pages' own blocks
print, and the plots are drawn from the made-up organization, one from a benchmark. A plot is checked by a hash of what
was drawn. The outputs are checked by the tests, which run the blocks.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import sys
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditframe.plots import figure_of
from auditframe.reports import Marks
from docs import _growth
from docs._pages import ROOT, endpoint, run_page
from docs._reference import PAGES, sections
from docs._reports import pictured

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa
    from matplotlib.figure import Figure

    from auditframe.reports import Report

REFERENCE = ROOT / "docs" / "reference"
IMAGES = ROOT / "docs" / "images"
ANSWERS = IMAGES / "answers.json"
DPI = 100

_SECTION = re.compile(r"(?P<begin><!-- generated: (?P<name>\w+) -->\n).*?(?P<end><!-- /generated -->)", re.DOTALL)


def main() -> int:
    """Write or check; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if anything is not up to date")
    if parser.parse_args().check:
        return _check()
    for path, text in (reference_pages() | run_pages()).items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for path in set(IMAGES.glob("*.png")) - set(image_files()):
        path.unlink()  # nothing shows it any more
    for path, content in drawn_images():
        path.write_bytes(content)
    ANSWERS.write_text(answers_json(), encoding="utf-8")
    return 0


def stale_files() -> list[Path]:
    """Return what ``make reference`` would write anew, but for the outputs of blocks."""
    texts = reference_pages() | {path: filled_page(path) for path in handwritten_pages()}
    pages = [path for path, text in texts.items() if not path.exists() or path.read_text("utf-8") != text]
    images = [path for path in image_files() if not path.exists()]
    answers = [] if ANSWERS.exists() and ANSWERS.read_text("utf-8") == answers_json() else [ANSWERS]
    return [*pages, *images, *answers]


def reference_pages() -> dict[Path, str]:
    """Return every page that is generated as a whole, as it should be."""
    return {REFERENCE / f"{name}.md": page() for name, page in PAGES.items()}


def run_pages() -> dict[Path, str]:
    """Return every page that people write, as it should be."""
    pages = {}
    with endpoint() as environment:
        for path in handwritten_pages():
            with tempfile.TemporaryDirectory() as folder:
                pages[path] = written_page(path, folder=Path(folder), environment=environment)
    return pages


def written_page(path: Path, *, folder: Path, environment: Mapping[str, str]) -> str:
    """Return a page that people write, with its sections filled and its blocks run in a folder."""
    return run_page(filled_page(path), name=path.name, folder=folder, environment=environment)


def filled_page(path: Path) -> str:
    """Return a page that people write, with its sections filled."""
    return _SECTION.sub(_filled, path.read_text("utf-8"))


def handwritten_pages() -> list[Path]:
    """Return the pages that people write, which may have generated sections and outputs."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    generated = {REFERENCE / f"{name}.md" for name in PAGES}
    return [path for path in found if path not in generated and "_build" not in path.parts]


def image_files() -> Iterator[Path]:
    """Yield the file of every plot."""
    return (IMAGES / f"{name}.png" for name in (*drawable(), _growth.NAME))


def drawn_images() -> Iterator[tuple[Path, bytes]]:
    """Draw every plot."""
    for name, figure in _figures():
        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=DPI, metadata={"Software": None})
        yield IMAGES / f"{name}.png", content.getvalue()


def _figures() -> Iterator[tuple[str, Figure]]:
    shown = drawable()
    for name, (report, answer) in shown.items():
        beside = shown[report.plot.beside][1] if isinstance(report.plot, Marks) else None
        yield name, figure_of(report, answer, beside=beside)
    yield _growth.NAME, _growth.growth_figure(_growth.growth_lines())


def drawable() -> Mapping[str, tuple[Report[Any], pa.Table]]:
    """Return the answers that are drawn, by the name of the image."""
    return {name: shown for name, shown in pictured().items() if shown[0].plot and shown[1].num_rows}


def answers_json() -> str:
    """Return the hash of all that is drawn, by the name of the image."""
    digests = {name: _digest(answer.to_pylist()) for name, (_, answer) in drawable().items()}
    digests[_growth.NAME] = _digest(_growth.growth_lines())
    return json.dumps(digests, indent=2) + "\n"


def _digest(rows: list[dict[str, Any]]) -> str:
    return sha256(json.dumps(rows, default=str, sort_keys=True).encode()).hexdigest()


def _filled(found: re.Match[str]) -> str:
    return f"{found['begin']}\n{sections()[found['name']]}\n\n{found['end']}"


def _check() -> int:
    stale = stale_files()
    for path in stale:
        print(f"{path.relative_to(ROOT)} is not up to date. Run: make reference", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
