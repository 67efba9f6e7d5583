"""README.md and docs/: what they show runs, and what they link to exists; `make check` compares what is generated."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import pytest

from docs._pages import ROOT, SHOWN_ONLY, blocks_of, endpoint
from docs._reference import PAGES, sections
from docs.generate import REFERENCE, handwritten_pages, written_page

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

WRITTEN = handwritten_pages()
EVERY_PAGE = [*WRITTEN, *(REFERENCE / f"{name}.md" for name in PAGES), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]

_LINK = re.compile(r"]\((?P<target>[^)#\s]+)(?:#(?P<anchor>[\w-]+))?\)")


@pytest.fixture(scope="module")
def environment() -> Iterator[Mapping[str, str]]:
    with endpoint() as environment:
        yield environment


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", WRITTEN, ids=_name)
def test_the_blocks_of_a_page_run_and_print_what_it_shows(
    page: Path, environment: Mapping[str, str], tmp_path: Path
) -> None:
    written = written_page(page, folder=tmp_path, environment=environment)
    plt.close("all")

    assert written == page.read_text("utf-8")


def test_every_generated_section_stands_in_some_page() -> None:
    text = "".join(page.read_text("utf-8") for page in WRITTEN)

    assert [name for name in sections() if f"<!-- generated: {name} -->" not in text] == []


@pytest.mark.parametrize("page", EVERY_PAGE, ids=_name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    links = [found for found in _LINK.finditer(page.read_text("utf-8")) if "://" not in found["target"]]
    broken = [found["target"] for found in links if not (page.parent / found["target"]).exists()]
    lost = [found["anchor"] for found in links if found["anchor"] and not _has_anchor(page, found)]

    assert (broken, lost) == ([], [])


def _has_anchor(page: Path, link: re.Match[str]) -> bool:
    """Whether a heading gives the anchor: its words in lower case, joined, without punctuation."""
    headings = re.findall(r"^#+ (.+)$", (page.parent / link["target"]).read_text("utf-8"), re.MULTILINE)
    return link["anchor"] in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", EVERY_PAGE, ids=_name)
def test_a_block_is_run_or_shown_or_says_why_it_is_not_run(page: Path) -> None:
    languages = {block.language for block in blocks_of(page.read_text("utf-8")) if not block.language.startswith("{")}

    assert languages <= {"python", "sh", *SHOWN_ONLY}


def test_the_two_commands_stand_on_the_first_screen() -> None:
    first_screen = (ROOT / "README.md").read_text("utf-8").splitlines()[:20]

    assert [line.split("  ")[0] for line in first_screen if line.startswith("make ")] == ["make demo", "make test"]


@pytest.mark.zoneless  # pages and links
def test_the_documentation_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html", str(ROOT / "docs"), str(tmp_path)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own command

    assert (built.returncode, built.stderr) == (0, "")
