"""What a lake must hold, as plain dicts and sets."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Model:
    """What a lake must hold.

    Attributes:
        rows: The first text that came for each id.
        aside: Other texts of ids that have a row.
        waiting: Texts that could not be placed, in the order in which they came.
        erased_ids: The ids that were erased, which never come back.
        erased_texts: The quarantined texts that were erased, which never come back.
        kept_from: Before this no event is taken any more [Unix seconds].
    """

    rows: dict[str, str] = field(default_factory=dict)
    aside: set[str] = field(default_factory=set)
    waiting: dict[str, None] = field(default_factory=dict)
    erased_ids: set[str] = field(default_factory=set)
    erased_texts: set[str] = field(default_factory=set)
    kept_from: int = 0

    def copy(self) -> Model:
        """Return another one that changes by itself."""
        return deepcopy(self)

    @property
    def held(self) -> set[str]:
        """What is in quarantine."""
        return self.aside | self.waiting.keys()

    def takes(self, text: str) -> bool:
        """Whether an event may come, or come back."""
        event = read(text)
        is_expired = "type" in event and int(event["effective_at"]) < self.kept_from
        return not is_expired and event["id"] not in self.erased_ids and text not in self.erased_texts

    def arrive(self, text: str, *, is_refused: bool = False) -> None:
        """Take an event in; `is_refused` says that an older version cannot place it."""
        event = read(text)
        if is_refused or "type" not in event:
            if event["id"] not in self.erased_ids and text not in self.erased_texts | self.aside:
                self.waiting[text] = None
        elif self.takes(text) and self.rows.setdefault(event["id"], text) != text and text not in self.waiting:
            self.aside.add(text)

    def retry(self) -> None:
        """Place what can be placed by now."""
        ready = [text for text in self.waiting if "type" in read(text)]
        for text in ready:
            del self.waiting[text]
        for text in ready:
            self.arrive(text)

    def erase(self, who: str) -> None:
        """Remove whoever it is for good."""
        ids = {id_ for id_, text in self.rows.items() if who in text}
        texts = {text for text in self.held if who in text}
        self.erased_ids |= ids
        self.erased_texts |= texts
        self.rows = {id_: text for id_, text in self.rows.items() if id_ not in ids}
        gone = texts | {text for text in self.held if read(text)["id"] in ids}
        self.aside -= gone
        self.waiting = dict.fromkeys(text for text in self.waiting if text not in gone)

    def expire(self, before: int) -> None:
        """Remove what took effect before an instant [Unix seconds]; nothing was quarantined so long ago."""
        self.kept_from = max(self.kept_from, before)
        self.rows = {id_: text for id_, text in self.rows.items() if int(read(text)["effective_at"]) >= before}


def read(text: str) -> dict[str, Any]:
    """Read an event."""
    event: dict[str, Any] = json.loads(text)
    return event
