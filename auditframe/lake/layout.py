"""Where things stand in a lake, and what its description says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from auditframe.errors import LakeCorruptError, LakeError, LakeNotFoundError, LakeVersionError
from auditframe.lake.faults import UNREADABLE, cause, names_in, read_regular
from auditframe.window import ALWAYS

if TYPE_CHECKING:
    from pathlib import Path

    from auditframe.window import Window

FORMAT_VERSION = 1
EVENTS_FILE = "events.parquet"
_FIRST_DAY = "0001-01-01"
_LEAST_END = datetime.min.replace(tzinfo=UTC) + timedelta.resolution  # before the year 1 there is no instant


@dataclass(frozen=True, slots=True)
class Grain:
    """How long a time one partition holds, and how partitions are named for it.

    Attributes:
        name: ``day`` or ``month``, of UTC.
        key: What stands before the partition's name in that of its folder.
        length: How many characters of an ISO instant are a partition's name, so that names sort as times do.
    """

    name: str
    key: str
    length: int

    def partition_of(self, at: datetime) -> str:
        """Return the name of the partition that an instant falls into."""
        return at.astimezone(UTC).isoformat()[: self.length]

    def bounds(self, window: Window) -> tuple[str, str]:
        """Return the least and the greatest name that a partition with events of a window can have."""
        first = self.partition_of(window.start) if window.start else ""
        last = self.partition_of(max(window.end, _LEAST_END) - timedelta.resolution) if window.end else "~"
        return first, last

    def partitions_of(self, events: pa.Table) -> dict[str, int]:
        """Return how many rows fall into each partition, oldest first."""
        counted = pc.value_counts(events["effective_at"].cast(pa.date32()))
        days, rows = (counted.field(name).to_pylist() for name in ("values", "counts"))
        found: dict[str, int] = {}
        for name, count in ((str(day)[: self.length], count) for day, count in zip(days, rows, strict=True) if day):
            found[name] = found.get(name, 0) + (count or 0)
        return dict(sorted(found.items()))

    def is_partition(self, name: str) -> bool:
        """Whether a text is written as partitions are named."""
        first_day = name + _FIRST_DAY[self.length :]
        try:
            return date.fromisoformat(first_day).isoformat() == first_day
        except ValueError:
            return False

    def folder(self, partition: str) -> str:
        """Return the name of a partition's folder; engines read a column from it."""
        return f"{self.key}={partition}"

    def named_by(self, folder: str) -> str | None:
        """Return the partition that a folder is named for; None when it is for none."""
        name = folder.removeprefix(f"{self.key}=")
        return name if name != folder else None


DAY, MONTH = Grain("day", "date", len("0001-01-01")), Grain("month", "month", len("0001-01"))
GRAINS = {grain.name: grain for grain in (DAY, MONTH)}


class Description(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``auditframe.json`` says.

    Attributes:
        format_version: The version of the lake's format.
        partition: How long a time one partition holds: ``day`` or ``month``.
    """

    format_version: int = FORMAT_VERSION
    partition: str = DAY.name


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of a lake.

    Attributes:
        root: The lake's folder.
        grain: How long a time one partition holds.
    """

    root: Path
    grain: Grain = DAY

    @property
    def description(self) -> Path:
        """The file that makes a folder a lake."""
        return self.root / "auditframe.json"

    def exists(self) -> bool:
        """Whether there is a lake.

        Raises:
            LakeCorruptError: Nobody can tell, because a folder cannot be looked into.
        """
        try:
            return self.description.exists()
        except OSError as error:
            raise LakeCorruptError(
                f"{self.root} cannot be looked into: {cause(error)}. Check its owner and mode.", path=self.root
            ) from error

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

    def partition_file(self, partition: str) -> Path:
        """Return the file of a partition."""
        return self.events / self.grain.folder(partition) / EVENTS_FILE

    def entry_file(self, number: int) -> Path:
        """Return the file of a ledger entry."""
        return self.ledger / f"{number:08d}.json"

    def quarantine_file(self, number: int) -> Path:
        """Return the file of what a snapshot could not place."""
        return self.quarantine / f"{number:08d}.jsonl"

    def partitions(self, window: Window = ALWAYS) -> dict[str, Path]:
        """Return the file of each partition by its name, oldest first.

        Args:
            window: Only partitions that may hold events inside it are looked for.

        Raises:
            LakeCorruptError: A folder cannot be read, so that events would be missing without a word.
        """
        first, last = self.grain.bounds(window)
        found = map(self.grain.named_by, listed(self.events))
        files = {name: self.partition_file(name) for name in found if name is not None and first <= name <= last}
        return {name: file for name, file in files.items() if listed(file.parent, only=EVENTS_FILE)}


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


def open_layout(root: Path, partition: str | None = None) -> Layout:
    """Read what the lake says about itself, and return its layout.

    Args:
        root: The lake's folder.
        partition: The grain that is asked for; None for any.

    Raises:
        LakeNotFoundError: There is no lake here.
        LakeVersionError: It was written in a format that this version does not read.
        LakeCorruptError: The description cannot be read, or is missing where there is a ledger.
        LakeError: The lake has another grain.
    """
    layout = Layout(root)
    try:
        text = read_regular(layout.description)
        description = msgspec.json.decode(text, type=Description)
    except (FileNotFoundError, NotADirectoryError):
        raise _not_found(layout) from None
    except PermissionError as error:
        raise LakeCorruptError(
            f"{layout.description} cannot be read: {cause(error)}. Check its owner and mode.", path=layout.description
        ) from None
    except UNREADABLE as error:
        raise LakeCorruptError(
            f"{layout.description} cannot be read: {cause(error)}. Restore it from a backup.", path=layout.description
        ) from None
    if description.format_version != FORMAT_VERSION or description.partition not in GRAINS:
        raise LakeVersionError(
            f"The lake at {root} has format {description.format_version} with {description.partition} partitions; "
            f"this version reads format {FORMAT_VERSION} with {' or '.join(GRAINS)} partitions. Upgrade auditframe.",
            path=root,
        )
    layout = Layout(root, GRAINS[description.partition])
    _check_grain(layout, partition)
    return layout


def _not_found(layout: Layout) -> LakeError:
    """Say what stands where there is no description."""
    if layout.root.exists() and not layout.root.is_dir():
        return LakeNotFoundError(f"{layout.root} is a file, and a lake is a folder. Name the folder.", path=layout.root)
    if listed(layout.ledger):
        return LakeCorruptError(
            f"{layout.description} is missing, though there is a ledger. Restore it from a backup; else the next "
            "snapshot or import writes it anew.",
            path=layout.description,
        )
    return LakeNotFoundError(
        f"There is no lake at {layout.root}. Make one: auditframe snapshot --lake {layout.root}", path=layout.root
    )


def layout_at(root: Path, partition: str | None = None) -> Layout:
    """Return the layout of the lake at a root, or of the one that the first write makes there.

    Args:
        root: The folder.
        partition: The grain that is asked for; None for that of the lake, or a day for a new one.

    Raises:
        LakeError: What stands there has another grain, or cannot be opened.
    """
    return open_layout(root, partition) if Layout(root).exists() else _future_layout(root, partition)


def _future_layout(root: Path, partition: str | None) -> Layout:
    """Choose the grain of a folder without a description; a lake that only lost it keeps its own."""
    names = listed(Layout(root).events)
    there = [grain for grain in GRAINS.values() if any(map(grain.named_by, names))]
    layout = Layout(root, there[0] if there else GRAINS[partition or DAY.name])
    _check_grain(layout, partition)
    return layout


def _check_grain(layout: Layout, partition: str | None) -> None:
    if partition not in (None, layout.grain.name):
        raise LakeError(
            f"The lake at {layout.root} has a partition a {layout.grain.name}, and keeps that. For one a {partition}, "
            "collect the events into another folder.",
            path=layout.root,
        )
