"""Merkle roots over events, hashed as RFC 6962 hashes a log: leaves and nodes can never be mistaken for each other."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def merkle_root(raws: Iterable[str]) -> str:
    """Return the root over events, in the order given.

    Args:
        raws: The ``raw`` of each event.

    Returns:
        64 hexadecimal digits; for no events the SHA-256 of nothing.
    """
    level = _leaves(raws)
    while len(level) > 1:
        level = _above(level)
    return level[0].hex() if level else sha256().hexdigest()


def merkle_path(raws: Iterable[str], index: int) -> tuple[str, ...]:
    """Return the nodes that lead from one event to the root: RFC 6962's audit path.

    Args:
        raws: The ``raw`` of each event, in the order of the root.
        index: The place of the event, from 0.

    Returns:
        The sibling on each level that has one, as 64 hexadecimal digits, the leaf's own first.
    """
    level = _leaves(raws)
    path: list[str] = []
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(level[sibling].hex())
        level, index = _above(level), index // 2
    return tuple(path)


def _leaves(raws: Iterable[str]) -> list[bytes]:
    return [sha256(b"\0" + raw.encode()).digest() for raw in raws]


def _above(level: list[bytes]) -> list[bytes]:
    # An odd last node rises unchanged, which over all levels is RFC 6962's split at the largest power of two.
    odd = [level[-1]] if len(level) % 2 else []
    return [sha256(b"\1" + level[i] + level[i + 1]).digest() for i in range(0, len(level) - 1, 2)] + odd
