"""Where things stand in a lake, and what its description says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from auditframe.errors import LakeCorruptError, LakeNotFoundError, LakeVersionError
from auditframe.lake.faults import UNREADABLE, cause, names_in, read_regular

if TYPE_CHECKING:
    from pathlib import Path

FORMAT_VERSION = 1
EVENTS_FILE = "events.parquet"


class Description(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``auditframe.json`` says.

    Attributes:
        format_version: The version of the lake's format.
        partition: The grain of a partition; this version writes days.
    """

    format_version: int = FORMAT_VERSION
    partition: str = "day"


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of a lake.

    Attributes:
        root: The lake's folder.
    """

    root: Path

    @property
    def description(self) -> Path:
        """The file that makes a folder a lake."""
        return self.root / "auditframe.json"

    @property
    def events(self) -> Path:
        """Nothing but finished partitions stands below it."""
        return self.root / "events"

    @property
    def ledger(self) -> Path:
        """One file a snapshot."""
        return self.root / "ledger"

    @property
    def index(self) -> Path:
        """Which ids the lake may hold; any writer can make it anew."""
        return self.root / "index"

    @property
    def quarantine(self) -> Path:
        """One file for each snapshot that met something it could not place."""
        return self.root / "quarantine"

    @property
    def staging(self) -> Path:
        """Where files are written before they are renamed in."""
        return self.root / "staging"

    @property
    def lock(self) -> Path:
        """The file whose lock the one writer holds."""
        return self.staging / "lock"

    @property
    def journal(self) -> Path:
        """What a run under way may have changed; gone once its ledger entry stands."""
        return self.staging / "journal.json"

    @property
    def resume(self) -> Path:
        """One file for each window that was cut short, or read whole by a run that has no entry yet."""
        return self.root / "resume"

    def partition_file(self, day: str) -> Path:
        """Return the file of a partition; ``day`` is an ISO date."""
        return self.events / f"date={day}" / EVENTS_FILE

    def entry_file(self, number: int) -> Path:
        """Return the file of a ledger entry."""
        return self.ledger / f"{number:08d}.json"

    def quarantine_file(self, number: int) -> Path:
        """Return the file of what a snapshot could not place."""
        return self.quarantine / f"{number:08d}.jsonl"

    def partitions(self) -> dict[str, Path]:
        """Return the file of each partition by ISO date, oldest first.

        Raises:
            LakeCorruptError: A folder cannot be read, so that events would be missing without a word.
        """
        days = (name.removeprefix("date=") for name in listed(self.events) if name.startswith("date="))
        return {day: file for day in days if listed((file := self.partition_file(day)).parent, only=EVENTS_FILE)}


def listed(folder: Path, *, only: str = "") -> list[str]:
    """Return what stands in a folder of a lake, sorted; nothing when the folder is missing.

    Args:
        folder: The folder.
        only: The one name that is of interest; any when empty.

    Raises:
        LakeCorruptError: It is no folder, or cannot be read.
    """
    try:
        return [name for name in names_in(folder) if name == (only or name)]
    except OSError as error:
        raise LakeCorruptError(
            f"The folder {folder} cannot be read: {cause(error)}. Check its owner and mode. See: auditframe verify",
            path=folder,
        ) from error


def days_of(events: pa.Table) -> dict[str, int]:
    """Return how many rows fall into each partition, by ISO date in UTC, oldest first."""
    counted = pc.value_counts(events["effective_at"].cast(pa.date32()))
    days, rows = (counted.field(name).to_pylist() for name in ("values", "counts"))
    return dict(sorted((day.isoformat(), count) for day, count in zip(days, rows, strict=True) if day))


def read_description(layout: Layout) -> Description:
    """Read what the lake says about itself.

    Raises:
        LakeNotFoundError: There is no lake here.
        LakeVersionError: It was written in a format that this version does not read.
        LakeCorruptError: The description cannot be read.
    """
    try:
        text = read_regular(layout.description)
        description = msgspec.json.decode(text, type=Description)
    except (FileNotFoundError, NotADirectoryError):
        raise LakeNotFoundError(
            f"There is no lake at {layout.root}. Make one: auditframe snapshot --lake {layout.root}", path=layout.root
        ) from None
    except UNREADABLE as error:
        raise LakeCorruptError(
            f"{layout.description} cannot be read: {cause(error)}. Restore it from a backup.", path=layout.description
        ) from None
    if description != Description():
        raise LakeVersionError(
            f"The lake at {layout.root} has format {description.format_version} with {description.partition} "
            f"partitions; this version reads format {FORMAT_VERSION} with day partitions. Upgrade auditframe.",
            path=layout.root,
        )
    return description
