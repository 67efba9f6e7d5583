"""Writes `data/sample.jsonl.gz`: a small made-up audit log, the same bytes at every run."""

from __future__ import annotations

import gzip
from pathlib import Path

from auditframe.sample import sample, to_jsonl

SEED = 7
EVENTS = 2_000
TARGET = Path(__file__).with_name("sample.jsonl.gz")


def main() -> None:
    """Make the sample and write it beside this file."""
    text = to_jsonl(sample(seed=SEED, events=EVENTS))
    TARGET.write_bytes(gzip.compress(text, compresslevel=9, mtime=0))
    print(f"{TARGET.name}: {EVENTS} events, seed {SEED}, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
