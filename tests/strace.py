"""A job of the command line that is killed, or refused, at a system call of its choice; see ``man strace``."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

CHANGING = "fsync,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,rmdir,ftruncate"
"""The system calls by which a lake's folders change, or by which a change is made to last."""

_CALL = re.compile(r"^(\w+)\(", re.MULTILINE)

Call = tuple[str, int]
"""A system call by its name and its number among those of this name, from 1; strace counts each name apart."""


@dataclass(frozen=True, slots=True)
class Job:
    """A command to run under strace.

    Attributes:
        arguments: What follows ``auditframe``.
        environment: Where its endpoint is.
    """

    arguments: Sequence[str]
    environment: Mapping[str, str]


@cache
def missing() -> str | None:
    """Say why strace cannot be used here; None when it can."""
    strace = shutil.which("strace")
    if strace is None:
        return "strace is not installed"
    tried = subprocess.run([strace, "-o", os.devnull, "true"], capture_output=True, check=False)  # noqa: S603
    return None if tried.returncode == 0 else "strace may not trace here"


def calls_of(job: Job, log: Path) -> list[Call]:
    """Run a job to its end and return the calls of `CHANGING` on its main thread, in their order."""
    done = _traced(job, "-o", str(log), "-e", f"trace={CHANGING}")
    assert done.returncode == 0, done.stderr
    made: Counter[str] = Counter()
    calls: list[Call] = []
    for name in _CALL.findall(log.read_text("utf-8", "replace")):
        made[name] += 1
        calls.append((name, made[name]))
    return calls


def killed_at(job: Job, call: Call) -> int:
    """Kill a job when it makes a call; return its exit code."""
    name, number = call
    inject = f"inject={name}:signal=SIGKILL:when={number}"
    return _traced(job, "-o", os.devnull, "-e", f"trace={name}", "-e", inject).returncode


def refused_at(job: Job, call: Call, error: str) -> subprocess.CompletedProcess[str]:
    """Let a call, and every later one of its name, fail with an error of the system."""
    name, number = call
    inject = f"inject={name}:error={error}:when={number}+"
    return _traced(job, "-o", os.devnull, "-e", f"trace={name}", "-e", inject)


def _traced(job: Job, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **job.environment, "PYTHONDONTWRITEBYTECODE": "1"}
    # Without -f only the main thread is traced, and it alone writes.
    command = ["strace", "-q", *options, sys.executable, "-m", "auditframe", *job.arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=120)  # noqa: S603
