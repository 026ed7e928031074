"""Parquet files, read and written with what LeRobot, pandas and datasets expect in them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chronosim.errors import EpisodeNotFound, InvalidEpisode, MissingDependency

__all__ = ["indexed_table", "pa", "pq", "read_columns", "read_rows"]

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as error:
    raise MissingDependency(
        "this format needs pyarrow: pip install 'chronosim[datasets]'"
    ) from error


def read_columns(
    path: Path, columns: Sequence[str] | None = None, rows: tuple[str, int] | None = None
) -> dict[str, list[Any]]:
    """Reads columns of a file as lists.

    Args:
        path: The file.
        columns: Which; those that it does not have are left out. None: all.
        rows: A column and the value it must have; None: all rows.

    Raises:
        EpisodeNotFound: There is no such file.
        InvalidEpisode: It was never finished, is no Parquet, or holds pickles.
    """
    if not path.is_file():
        raise EpisodeNotFound(f"there is no {path}")
    try:
        schema = pq.read_schema(path)
        _refuse_pickles(path, schema)
        known = None if columns is None else [name for name in columns if name in schema.names]
        filters = None if rows is None else [(rows[0], "=", rows[1])]
        table = pq.read_table(path, columns=known, filters=filters, partitioning=None)
    except pa.ArrowInvalid as error:
        if "footer" in str(error) or "0 bytes" in str(error):
            raise InvalidEpisode(
                f"{path} has no footer: its recording was never finished; LeRobot's finalize() "
                "writes it"
            ) from error
        raise InvalidEpisode(f"{path} cannot be read as Parquet: {error}") from error
    except (pa.ArrowException, OSError, KeyError) as error:
        raise InvalidEpisode(f"{path} cannot be read as Parquet: {error}") from error
    return {name: table.column(name).to_pylist() for name in table.column_names}


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Reads a file row by row.

    Raises:
        EpisodeNotFound: There is no such file.
        InvalidEpisode: As `read_columns`.
    """
    columns = read_columns(path)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def indexed_table(index: str, labels: Sequence[str], columns: Mapping[str, Sequence[int]]) -> Any:
    """Makes a table that pandas reads with `labels` as its index: LeRobot's table of tasks."""
    kinds = [(name, "int64", "int64") for name in columns] + [(index, "unicode", "object")]
    described = {
        "index_columns": [index],
        "column_indexes": [],
        "columns": [
            {
                "name": name,
                "field_name": name,
                "pandas_type": kind,
                "numpy_type": stored,
                "metadata": None,
            }
            for name, kind, stored in kinds
        ],
        "pandas_version": "2.0.0",
    }
    arrays = {name: pa.array(values, pa.int64()) for name, values in columns.items()}
    table = pa.table({**arrays, index: pa.array(labels, pa.string())})
    return table.replace_schema_metadata({"pandas": json.dumps(described)})


def _refuse_pickles(path: Path, schema: pa.Schema) -> None:
    """Arrow's old Python extension types are pickles, which run code when they are read."""
    for column in schema:
        kind = (column.metadata or {}).get(b"ARROW:extension:name", b"")
        if b"py_extension" in kind or b"pickle" in kind:
            raise InvalidEpisode(
                f"the column {column.name!r} of {path} is a Python pickle ({kind.decode()}), which "
                "could run any code: refused"
            )
