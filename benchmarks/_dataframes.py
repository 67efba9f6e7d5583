"""The report `events_per_actor`, with all its columns, as one with data frames would ask it of a folder of Parquet."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import pandas as pd

_NAMES = ("actor_email", "actor_id", "actor_api_key_id")
_READ = [*_NAMES, "actor_kind", "type", "ip_address", "effective_at", "id"]


def _pandas(files: Sequence[Path]) -> pa.Table:
    """Read no more columns than are needed; a second look at the first and the last instants finds the ids."""
    events = pa.concat_tables(pq.ParquetFile(path).read(columns=_READ) for path in files).to_pandas()
    email, id_, key = (events[name] for name in _NAMES)
    events["actor"] = email.fillna(id_).fillna(key)
    answer = _by_actor(events).agg(
        events=("id", "size"),
        types=("type", "nunique"),
        addresses=("ip_address", "nunique"),
        first_at=("effective_at", "min"),
        last_at=("effective_at", "max"),
    )
    for name in ("actor_kind", "actor_id"):
        known = _by_actor(events.drop_duplicates(["actor", name]))[name]
        answer[name] = known.first().where(known.nunique() == 1)
    at, of_actor = events["effective_at"], _by_actor(events)["effective_at"]
    answer["first_event_id"] = _by_actor(events[at == of_actor.transform("min")])["id"].min()
    answer["last_event_id"] = _by_actor(events[at == of_actor.transform("max")])["id"].max()
    ordered = answer.reset_index().sort_values(["events", "actor"], ascending=[False, True])
    return pa.Table.from_pandas(ordered, preserve_index=False)


def _by_actor(events: pd.DataFrame) -> pd.api.typing.DataFrameGroupBy[Any, Any]:
    return events.groupby("actor", dropna=False)


def _polars(files: Sequence[Path]) -> pa.Table:
    """Scan lazily and stream: in memory, its engine takes longer and four times as much memory."""
    pl = importlib.import_module("polars")

    def same(name: str) -> object:
        column = pl.col(name)
        return pl.when(column.min() == column.max()).then(column.min()).alias(name)

    id_, at = pl.col("id"), pl.col("effective_at")
    answer = (
        pl.scan_parquet(files)
        .group_by(pl.coalesce(_NAMES).alias("actor"))
        .agg(
            same("actor_kind"),
            same("actor_id"),
            events=pl.len(),
            types=pl.col("type").n_unique(),
            addresses=pl.col("ip_address").drop_nulls().n_unique(),
            first_at=at.min(),
            last_at=at.max(),
            first_event_id=id_.sort_by(at, id_).first(),
            last_event_id=id_.sort_by(at, id_).last(),
        )
        .sort("events", "actor", descending=[True, False], nulls_last=True)
    )
    table: pa.Table = answer.collect(engine="streaming").to_arrow()
    return table


PEERS: Mapping[str, Callable[[Sequence[Path]], pa.Table]] = {"pandas": _pandas, "polars": _polars}
"""What answers from the files of a lake, by the library that it needs. None is imported here: that costs memory."""
