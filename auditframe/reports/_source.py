"""Sources: whatever holds events, as the relation that reports ask."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from auditframe.errors import ReportError
from auditframe.files import expand
from auditframe.lake import Events, Lake
from auditframe.lake.unread import warn_of
from auditframe.schema import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    Source = Lake | Events | pa.Table | pd.DataFrame | str | Path
    """What a report can be asked of."""

_LAKE_MARK = "auditframe.json"


def as_events(source: Source) -> Events:
    """See a source as events.

    Args:
        source: A lake or a window of one; an Arrow table or a DataFrame with columns of `schema.COLUMNS`; the path of
            a lake, of Parquet files or of event files, the files also as a glob.

    Returns:
        The events. Columns that the source lacks are absent, columns that are no event's are left out. A warning tells
        of a gap in a lake's coverage.

    Raises:
        ReportError: It is none of these, or a column holds something else than its type.
        FileError: A file is missing or cannot be read.
        LakeError: The lake cannot be read.
    """
    if isinstance(source, Events):
        return source
    if isinstance(source, Lake):
        return _from_lake(source)
    if isinstance(source, str | Path):
        return _from_path(Path(source))
    if isinstance(source, pa.Table):
        return _from_columns(source.column_names, lambda name, type_: source[name].cast(type_))
    return _from_frame(source)


def _from_lake(lake: Lake) -> Events:
    events = lake.events
    warn_of(events.unread, lake.path, stacklevel=4)  # the line that asks as_events
    return events


def _from_path(path: Path) -> Events:
    if path.is_dir():
        return _from_lake(Lake(path))
    if path.suffix == ".parquet":
        return Events(files=tuple(expand([path])))
    # The loader brings the client of the endpoint along, which a lake has no use for.
    from auditframe.load import load_table

    return Events(table=load_table(path))


def _from_frame(source: pd.DataFrame) -> Events:
    import pandas as pd  # half a second that a lake does not need

    if not isinstance(source, pd.DataFrame):
        raise ReportError(
            f"A report cannot be asked of a {type(source).__name__}. Give it a lake, a window of one, a DataFrame, an "
            "Arrow table or a path.",
            report=None,
        )

    def convert(name: str, type_: pa.DataType) -> Any:
        values = source[name]
        if isinstance(values.dtype, pd.DatetimeTZDtype) or not pa.types.is_timestamp(type_):
            return pa.Array.from_pandas(values, type=type_)
        if values.isna().all():
            return pa.nulls(len(values), type_)
        raise pa.ArrowTypeError("its times have no zone; make them aware, for example with .dt.tz_localize('UTC')")

    return _from_columns([str(name) for name in source.columns], convert)


def _from_columns(names: list[str], convert: Callable[[str, pa.DataType], Any]) -> Events:
    fields = [field for field in arrow_schema() if field.name in names]
    if not fields:
        raise ReportError("The source has no column of events; lake.to_pandas() shows how one looks.", report=None)
    columns = []
    for field in fields:
        try:
            columns.append(convert(field.name, field.type))
        except (pa.ArrowException, TypeError) as error:
            reason = str(error).splitlines()[0]
            raise ReportError(
                f"The column {field.name} must hold {field.type}: {reason}. Pass the events on as they were loaded.",
                report=None,
            ) from error
    return Events(table=pa.table(columns, schema=pa.schema(fields)))
