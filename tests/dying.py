"""A process that dies at one of its steps on the disk, played within this one."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from unittest import mock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

How = Literal["before", "torn", "after"]

_WRITING = os.O_WRONLY | os.O_RDWR
_STEPS = ("fsync", "open", "replace", "link", "unlink", "rmdir", "mkdir")


class KilledError(BaseException):
    """Nothing catches it, as nothing can catch a kill."""


@dataclass
class Death:
    """When a process dies.

    Attributes:
        at: At which of its steps, from 1; one that takes fewer does not die.
        how: Before the step, after it, or before it with the file that was being written cut in half.
        is_dead: Whether it has; from then on no step reaches the disk.
    """

    at: int
    how: How
    is_dead: bool = False
    _taken: int = field(default=0, repr=False)

    def take(self, name: str, call: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Take a step, or die at it."""
        if not self.is_dead:
            self._taken += 1
            if self._taken != self.at:
                return call(*args, **options)
            self.is_dead = True
            if self.how == "after":
                done = call(*args, **options)
                if name == "open":
                    os.close(done)
            elif self.how == "torn" and name == "fsync":
                with contextlib.suppress(OSError):  # a folder
                    os.ftruncate(args[0], os.fstat(args[0]).st_size // 2)
        raise KilledError


@contextlib.contextmanager
def dying(root: Path, at: int, how: How = "before") -> Iterator[Death]:
    """Let whoever writes to a folder die there; what was tidied up after that is not tidied up."""
    death = Death(at, how)

    def unsynced(_: int) -> None:
        """Do nothing: a kill, unlike a power cut, takes nothing that was written."""

    def watched(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def act(*args: Any, **options: Any) -> Any:
            is_elsewhere = name != "fsync" and not os.fsdecode(args[0]).startswith(str(root))
            if is_elsewhere or (name == "open" and not args[1] & _WRITING):
                return call(*args, **options)
            return death.take(name, call, *args, **options)

        return act

    with contextlib.ExitStack() as patched:
        for name in _STEPS:
            step = unsynced if name == "fsync" else getattr(os, name)
            patched.enter_context(mock.patch.object(os, name, watched(name, step)))
        with contextlib.suppress(KilledError):
            yield death
