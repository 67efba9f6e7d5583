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
    level = [sha256(b"\0" + raw.encode()).digest() for raw in raws]
    if not level:
        return sha256().hexdigest()
    while len(level) > 1:
        # An odd last node rises unchanged, which over all levels is RFC 6962's split at the largest power of two.
        odd = [level[-1]] if len(level) % 2 else []
        level = [sha256(b"\1" + level[i] + level[i + 1]).digest() for i in range(0, len(level) - 1, 2)] + odd
    return level[0].hex()
