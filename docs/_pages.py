"""Documentation pages as programs: run their blocks in order, and put what was printed under them.

A block is fenced and marked ``python`` or ``sh``. The comment ``<!-- output -->`` before a ``text`` block says that it
holds what the block before it printed; ``<!-- not run: reason -->`` before a block says that nobody runs it, and why.
The blocks of a page share one folder, and its Python blocks one namespace.
"""

from __future__ import annotations

import ast
import contextlib
import io
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pandas as pd

from auditframe.emulator import Emulator, serve
from auditframe.sample import Sample, sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[1]
START, END = "2026-08-03", "2026-11-01"
"""The 90 days of the made-up organization."""

SHOWN_ONLY = frozenset({"text", "json", "sql"})
"""The languages of blocks that are there to be read."""

_WIDTH = 100
_FENCE = re.compile(r"^```(?P<language>\w*|{[\w-]+})$")
_NOT_RUN = re.compile(r"^<!-- not run: (?P<reason>.+) -->$")
_OUTPUT = "<!-- output -->"


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block of a page.

    Attributes:
        language: What follows the fence.
        text: What stands in it.
        first: The index of its first line in the page.
        mark: The line before the fence, if it is a comment; else "".
    """

    language: str
    text: str
    first: int
    mark: str

    @property
    def is_output(self) -> bool:
        """Whether it holds what the block before it printed."""
        return self.mark == _OUTPUT

    @property
    def not_run(self) -> str | None:
        """Why nobody runs it; None when it is run."""
        found = _NOT_RUN.fullmatch(self.mark)
        return found["reason"] if found else None


def blocks_of(page: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page, in order; blocks that are indented or fenced by more marks are none."""
    lines = page.splitlines()
    number = 0
    while number < len(lines):
        fence = _FENCE.fullmatch(lines[number])
        if fence:
            end = lines.index("```", number + 1)
            mark = lines[number - 1] if number and lines[number - 1].startswith("<!--") else ""
            yield Block(fence["language"], "\n".join(lines[number + 1 : end]), number + 1, mark)
            number = end
        number += 1


def run_page(page: str, *, name: str, folder: Path, environment: Mapping[str, str]) -> str:
    """Run a page's blocks, and return it with the outputs that they gave.

    Args:
        page: The Markdown.
        name: What a traceback calls the page.
        folder: Where the blocks run; what they write stays there.
        environment: Variables that they see beside those of this process.

    Returns:
        The page, each block marked as output replaced by what was printed; the page as it was when all is up to date.
    """
    lines, printed = page.splitlines(), ""
    names: dict[str, Any] = {"__name__": "__main__"}
    outputs: list[tuple[Block, str]] = []
    with patch.dict(os.environ, environment), contextlib.chdir(folder), _narrow_frames():
        for block in blocks_of(page):
            if block.is_output:
                outputs.append((block, printed))
            elif block.not_run is None:
                printed = _run(block, names, f"{name}:{block.first}")
    for block, text in reversed(outputs):
        lines[block.first : block.first + len(block.text.splitlines())] = text.splitlines()
    return "\n".join(lines) + "\n"


@contextlib.contextmanager
def endpoint() -> Iterator[dict[str, str]]:
    """Serve the made-up organization that every page shows; yields the environment that leads there."""
    key = "sk-admin-emulator"
    with serve(Emulator(organization().events, key=key)) as base_url:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        yield {
            "OPENAI_ADMIN_KEY": key,
            "OPENAI_BASE_URL": base_url,
            "PATH": path,
            "COLUMNS": str(_WIDTH),
            "MPLBACKEND": "agg",
        }


def organization() -> Sample:
    """Make the organization of ``make demo``: 20,000 events in the 90 days before 2026-11-01."""
    return sample(seed=7, events=20_000, days=90, end=END)


def _run(block: Block, names: dict[str, Any], where: str) -> str:
    if block.language == "python":
        return _run_python(block.text, names, where)
    if block.language == "sh":
        return _run_shell(block.text, where)
    if block.language not in SHOWN_ONLY and not block.language.startswith("{"):
        raise ValueError(f"{where}: a block is marked {block.language!r}; nobody knows how to run it.")
    return ""


def _run_python(text: str, names: dict[str, Any], where: str) -> str:
    """Run statements; an expression at the end is shown, as a notebook shows it."""
    body = ast.parse(text, where).body
    last = body[-1] if body else None
    shown = last if isinstance(last, ast.Expr) else None
    statements = ast.Module(body[:-1] if shown else body, [])
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(statements, where, "exec"), names)  # noqa: S102 - our own pages
        if shown:
            value = eval(compile(ast.Expression(shown.value), where, "eval"), names)  # noqa: S307 - our own pages
            if value is not None:
                print(repr(value))
    return _trimmed(printed.getvalue())


def _run_shell(text: str, where: str) -> str:
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", text], capture_output=True, text=True)  # noqa: S603, S607
    if done.returncode:
        raise RuntimeError(f"{where}: the shell block ended with {done.returncode}: {done.stderr.strip()}")
    return _trimmed(done.stdout)


def _trimmed(printed: str) -> str:
    return "\n".join(line.rstrip() for line in printed.strip("\n").splitlines())


def _narrow_frames() -> contextlib.AbstractContextManager[Any]:
    options = ("display.width", _WIDTH, "display.max_columns", 20, "display.max_colwidth", 40)
    return pd.option_context(*options)
