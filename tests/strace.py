"""Commands that are killed, or refused, at a system call of a tester's choice; see ``man strace``."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

CHANGING = (
    *("openat", "write", "writev", "pwrite64", "ftruncate", "fsync", "fdatasync", "mkdir", "mkdirat", "rmdir"),
    *("rename", "renameat", "renameat2", "link", "linkat", "unlink", "unlinkat"),
)
"""The system calls by which files and folders change, or by which a change is made to last."""

_CALL = re.compile(r"^(?P<name>\w+)\((?P<arguments>.*)\) += ", re.MULTILINE)
_CHANGES = re.compile(r"O_(?:CREAT|TRUNC|WRONLY|RDWR)")
_PID = "{pid}"

_TRACEABLE = "ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1), 0, 0, 0)"
"""PR_SET_PTRACER: anybody may trace this process, where the system would let none but its parents."""

_NURSERY = """
import ctypes, json, os, sys
import auditframe.cli.collect, auditframe.cli.keep, auditframe.snapshot, httpx, duckdb, pyarrow.parquet, pandas
from auditframe.cli import cli

def answer(**facts):
    os.write(1, (json.dumps(facts) + "\\n").encode())

def run(job, go):
    TRACEABLE
    os.environ.update(job["environment"])
    sys.stdout, sys.stderr = open(os.devnull, "w"), open(job["stderr"], "w")
    os.read(go, 1)
    try:
        cli(job["arguments"], prog_name="auditframe")
    except SystemExit as end:
        sys.stderr.flush()
        os._exit(end.code or 0)

for line in sys.stdin:
    wait, go = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            run(json.loads(line), wait)
        finally:
            os._exit(70)
    answer(pid=child)
    sys.stdin.readline()
    os.write(go, b".")
    status = os.waitpid(child, 0)[1]
    os.close(wait), os.close(go)
    answer(code=os.waitstatus_to_exitcode(status))
""".replace("TRACEABLE", _TRACEABLE)


class Call(NamedTuple):
    """A system call of a command.

    Attributes:
        name: Its name.
        path: The file or folder that it changes, relative to the lake; the command's own id is ``{pid}`` in it.
        number: Its number among the calls of this name at this path, from 1.
    """

    name: str
    path: str
    number: int


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended.

    Attributes:
        code: Its exit code; of one that was killed, the signal's number below zero.
        stderr: What it said.
        calls: The traced calls at the lake's files that would have changed something, in their order.
    """

    code: int
    stderr: str
    calls: tuple[Call, ...] = ()


@cache
def missing() -> str | None:
    """Say why strace cannot be used here; None when it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    waiting = f"import ctypes, sys; {_TRACEABLE}; print(flush=True); sys.stdin.read()"
    with subprocess.Popen(  # noqa: S603 - this interpreter, and the text above
        [sys.executable, "-c", waiting], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdout.readline()
        try:
            with _attached(process.pid, log=Path(os.devnull)):
                process.stdin.close()
        except OSError:
            return "strace may not trace here"
    return None


class Nursery:
    """A process that makes a process for each command, so that none has to import everything anew.

    Only the main thread of a command is traced, and it alone writes.
    """

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process = process
        self._stderr = folder / "stderr"
        self._log = folder / "log"

    def run(self, arguments: Sequence[str], environment: Mapping[str, str]) -> Ended:
        """Run a command and let it be."""
        self._start(arguments, environment)
        return self._end()

    def watch(self, arguments: Sequence[str], environment: Mapping[str, str], *, lake: Path) -> Ended:
        """Run a command and note its calls."""
        pid = self._start(arguments, environment)
        with _attached(pid, "-y", "-s", "0", "-e", f"trace={','.join('?' + name for name in CHANGING)}", log=self._log):
            ended = self._end()
        return Ended(ended.code, ended.stderr, tuple(_calls(self._log.read_text("utf-8", "replace"), lake, pid)))

    def strike(
        self, arguments: Sequence[str], environment: Mapping[str, str], *, lake: Path, call: Call, how: str
    ) -> Ended:
        """Run a command and strike at a call: ``signal=SIGKILL``, or ``error=`` and a name for it and all like it."""
        pid = self._start(arguments, environment)
        path = str(lake / call.path.replace(_PID, str(pid)))
        when = f"{call.number}{'+' if how.startswith('error') else ''}"
        inject = ("-e", f"trace={call.name}", "-P", path, "-e", f"inject={call.name}:{how}:when={when}")
        with _attached(pid, *inject, log=self._log):
            return self._end()

    def _start(self, arguments: Sequence[str], environment: Mapping[str, str]) -> int:
        job = {"arguments": list(arguments), "environment": dict(environment), "stderr": str(self._stderr)}
        self._tell(json.dumps(job))
        return int(self._answer()["pid"])

    def _end(self) -> Ended:
        self._tell("go")
        return Ended(int(self._answer()["code"]), self._stderr.read_text())

    def _tell(self, line: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


@contextmanager
def nursery() -> Iterator[Nursery]:
    """Keep a nursery for commands."""
    command = [sys.executable, "-c", _NURSERY]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(  # noqa: S603 - this interpreter, and the text above
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]
        ) as process,
    ):
        yield Nursery(process, Path(folder))
        assert process.stdin
        process.stdin.close()
        process.wait(timeout=30)


@contextmanager
def _attached(pid: int, *options: str, log: Path) -> Iterator[None]:
    """Trace a process from now on."""
    command = ["strace", "-o", str(log), *options, "-p", str(pid)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:  # noqa: S603
        assert strace.stderr
        for line in strace.stderr:
            if "attached" in line:
                break
        else:
            raise OSError(f"strace may not trace the process {pid}.")
        try:
            yield
            strace.wait(timeout=60)
        finally:
            strace.terminate()


def _calls(log: str, lake: Path, pid: int) -> Iterator[Call]:
    made: Counter[tuple[str, str]] = Counter()
    at_lake = re.compile(rf'[<"]{re.escape(str(lake))}/?([^">]*)')
    for found in _CALL.finditer(log):
        name, arguments = found.group("name", "arguments")
        place = at_lake.search(arguments)
        if place is None:
            continue
        path = re.sub(rf"(?<=/){pid}(?=\.)", _PID, place[1])
        made[name, path] += 1
        if name != "openat" or _CHANGES.search(arguments):
            yield Call(name, path, made[name, path])
