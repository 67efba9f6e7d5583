"""What turns response bodies into tables: auditframe, and what others would be used for it.

Each is given the same bodies in the form that it reads fastest: in memory, or as a file with one body a line.
"""

from __future__ import annotations

import importlib
import json
import os
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb
import msgspec
import pandas as pd
import pyarrow.json as pj

from auditframe.flatten import flatten

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_LARGEST_BODY_BYTES = 1 << 24


@dataclass(frozen=True)
class Pages:
    """Response bodies.

    Attributes:
        bodies: Each a page of events.
        lines: A file with one body a line.
    """

    bodies: list[bytes]
    lines: Path


@dataclass(frozen=True)
class Peer:
    """A way to flatten.

    Attributes:
        name: What it is called.
        gives: What comes out, in a few words.
        run: Does it.
        needs: The libraries that it needs and auditframe does not.
    """

    name: str
    gives: str
    run: Callable[[Pages], object]
    needs: tuple[str, ...] = ()

    def prepare(self) -> None:
        """Import what it needs, so that this is not timed."""
        for name in self.needs:
            importlib.import_module(name)


def _auditframe(pages: Pages) -> object:
    return flatten(pages.bodies)


def _json_normalize(pages: Pages) -> object:
    return pd.json_normalize([event for body in pages.bodies for event in json.loads(body)["data"]])


def _orjson(pages: Pages) -> object:
    loads = importlib.import_module("orjson").loads
    return sum(len(loads(body)["data"]) for body in pages.bodies)


def _msgspec(pages: Pages) -> object:
    return sum(len(msgspec.json.decode(body)["data"]) for body in pages.bodies)


def _duckdb(pages: Pages) -> object:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        options = (
            f"maximum_object_size = {_LARGEST_BODY_BYTES}, sample_size = -1, format = 'newline_delimited', "
            "map_inference_threshold = -1"  # else events become maps of JSON text
        )
        events = f"SELECT unnest(data) AS event FROM read_json('{pages.lines}', {options})"  # noqa: S608 - our own file
        return connection.sql(f"SELECT unnest(event) FROM ({events})").to_arrow_table()  # noqa: S608


def _polars(pages: Pages) -> object:
    pl = importlib.import_module("polars")
    read = pl.read_ndjson(pages.lines, infer_schema_length=None)
    return read.select("data").explode("data").unnest("data")


def _pyarrow(pages: Pages) -> object:
    options = pj.ReadOptions(block_size=_LARGEST_BODY_BYTES)
    return pj.read_json(pages.lines, read_options=options)["data"]


def _dlt(pages: Pages) -> object:
    os.environ.update(RUNTIME__DLTHUB_TELEMETRY="false", RUNTIME__LOG_LEVEL="CRITICAL")
    dlt = importlib.import_module("dlt")

    def events() -> Iterator[Any]:
        for body in pages.bodies:
            yield json.loads(body)["data"]

    with tempfile.TemporaryDirectory(dir=pages.lines.parent) as folder:
        pipeline = dlt.pipeline(
            pipeline_name="audit_logs",
            pipelines_dir=f"{folder}/state",
            destination=dlt.destinations.filesystem(bucket_url=f"{folder}/lake"),
            dataset_name="events",
        )
        resource = dlt.resource(events, name="events")
        return pipeline.run(resource(), loader_file_format="parquet")


PEERS = (
    Peer("auditframe.flatten", "typed columns, payload and event as text", _auditframe),
    Peer("orjson.loads", "Python objects, dropped page by page", _orjson, needs=("orjson",)),
    Peer("msgspec.json.decode", "Python objects, dropped page by page", _msgspec),
    Peer("DuckDB read_json", "nested structs of what types it met", _duckdb),
    Peer("pyarrow.json", "a list of nested structs for each page", _pyarrow),
    Peer("polars.read_ndjson", "nested structs of what types it met", _polars, needs=("polars",)),
    Peer("pandas.json_normalize", "a column of objects for each path", _json_normalize),
    Peer("dlt to Parquet", "a table, and one for each list", _dlt, needs=("dlt",)),
)
"""In the order in which they are timed and printed; auditframe first."""
