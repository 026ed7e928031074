"""Parquet files, read and written with what LeRobot, pandas and datasets expect in them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from chronosim.errors import EpisodeNotFound, InvalidEpisode, MissingDependency
from chronosim.formats.safety import check_not_pointer

__all__ = [
    "EpisodeTables",
    "array_of",
    "indexed_table",
    "numbers_of",
    "open_parquet",
    "pa",
    "pq",
    "read_columns",
    "read_rows",
]

try:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
except ImportError as error:
    raise MissingDependency(
        "this format needs pyarrow: pip install 'chronosim[datasets]'"
    ) from error


def read_columns(path: Path, *, without: str | None = None) -> dict[str, list[Any]]:
    """Reads the columns of a file as lists.

    Args:
        path: The file.
        without: How the names of columns begin that are left out; None: all are read.

    Raises:
        EpisodeNotFound: There is no such file.
        InvalidEpisode: It was never finished, is no Parquet, or holds pickles.
    """
    with _reading(path), open_parquet(path) as file:
        names = file.schema_arrow.names
        table = file.read([n for n in names if without is None or not n.startswith(without)])
        return {name: table.column(name).to_pylist() for name in table.column_names}


def open_parquet(path: Path) -> Any:
    """Opens a file, of which whoever reads it holds a megabyte at a time.

    Raises:
        EpisodeNotFound: There is no such file.
        InvalidEpisode: It was never finished, is no Parquet, or holds pickles.
    """
    if not path.is_file():
        raise EpisodeNotFound(f"there is no {path}")
    with _reading(path):
        file = pq.ParquetFile(path, buffer_size=2**20)
        _refuse_pickles(path, file.schema_arrow)
        return file


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Says in a sentence what Arrow says of a file.

    Raises:
        InvalidEpisode: It was never finished, or is no Parquet.
    """
    try:
        yield
    except pa.ArrowInvalid as error:
        check_not_pointer(path)
        if "footer" in str(error) or "0 bytes" in str(error):
            raise InvalidEpisode(
                f"{path} has no footer: its recording was never finished; LeRobot's finalize() "
                "writes it"
            ) from error
        raise InvalidEpisode(f"{path} cannot be read as Parquet: {_line(error)}") from error
    except (pa.ArrowException, OSError, KeyError) as error:
        raise InvalidEpisode(f"{path} cannot be read as Parquet: {_line(error)}") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


_BATCH_BYTES = 2**24
_MOST_ROWS = 20_000_000  # of a file: 100 hours at 50 a second; a few kilobytes can claim billions


@dataclass(slots=True)
class EpisodeTables:
    """The rows of episodes in many files, found by the number that each row has of its episode.

    A file is gone through once as long as episodes are asked for in its order; what is held of it
    is a batch of rows and those of one episode.

    Attributes:
        files: All files, in order.
        columns: Which columns are read, where a file has them.
        key: The column with the number of the episode.
    """

    files: Sequence[Path]
    columns: Collection[str]
    key: str = "episode_index"
    _runs: dict[Path, list[tuple[int, int, int]]] = field(default_factory=dict)
    _stream: _Stream | None = None

    def rows(self, number: int, length: int, likely: Path | None) -> Any:
        """Gives an episode's rows as they are stored.

        Args:
            number: Of the episode.
            length: How many rows it should have.
            likely: A file that should hold them all; the others are looked through where it does
                not; None: none is known.

        Returns:
            An Arrow table.

        Raises:
            EpisodeNotFound: There is no file.
            InvalidEpisode: A file cannot be read, or the rows are not as many as they should be.
        """
        found = self._find(number, [likely] if likely in self.files else [])
        if sum(stop - start for _, start, stop in found) != length:
            found = self._find(number, self.files)
        rows = sum(stop - start for _, start, stop in found)
        if rows != length or not found:
            raise InvalidEpisode(f"episode {number} has {rows} rows, but should have {length}")
        tables = [self._take(*run) for run in found]
        return pa.concat_tables(tables, promote_options="permissive")

    def _find(self, number: int, files: Iterable[Path | None]) -> list[tuple[Path, int, int]]:
        return [
            (path, start, stop)
            for path in files
            if path is not None
            for value, start, stop in self._runs_of(path)
            if value == number
        ]

    def _runs_of(self, path: Path) -> list[tuple[int, int, int]]:
        """Where each episode's rows begin and end in a file."""
        if path not in self._runs:
            with _reading(path), open_parquet(path) as file:
                if self.key not in file.schema_arrow.names:
                    raise InvalidEpisode(f"{path} has no column {self.key!r}")
                if file.metadata.num_rows > _MOST_ROWS:
                    raise InvalidEpisode(f"{path} has more than {_MOST_ROWS:,} rows, the most read")
                numbers = numbers_of(file.read([self.key]).column(0), self.key, str(path))
            if numbers.dtype.kind not in "iu":
                raise InvalidEpisode(f"the column {self.key!r} of {path} must be whole numbers")
            edges = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)]
            runs = [(int(numbers[a]), a, b) for a, b in pairwise(edges) if a < b]
            self._runs[path] = runs
        return self._runs[path]

    def _take(self, path: Path, start: int, stop: int) -> Any:
        stream = self._stream
        if stream is None or stream.path != path or start < stream.at:
            stream = self._stream = _Stream(path, self.columns, start)
        return stream.take(start, stop)


class _Stream:
    """Rows of a file, one batch after the other."""

    def __init__(self, path: Path, columns: Collection[str], start: int) -> None:
        self.path, self.at = path, 0
        file = open_parquet(path)
        groups = [file.metadata.row_group(index) for index in range(file.num_row_groups)]
        first = 0
        while first + 1 < len(groups) and self.at + groups[first].num_rows <= start:
            self.at += groups[first].num_rows
            first += 1
        size = max(1, max(each.total_byte_size // max(1, each.num_rows) for each in groups))
        self.batches = file.iter_batches(
            batch_size=max(1, min(4096, _BATCH_BYTES // size)),
            row_groups=list(range(first, len(groups))),
            columns=[name for name in columns if name in file.schema_arrow.names],
        )
        self.batch: Any = None  # whose first row is `at`

    def take(self, start: int, stop: int) -> Any:
        """The rows from one to another, none of them before those of the last call."""
        parts = []
        with _reading(self.path):
            while start < stop:
                if self.batch is None:
                    self.batch = next(self.batches)
                count, begin = self.batch.num_rows, start - self.at
                if begin >= count:
                    self.batch, self.at = None, self.at + count
                    continue
                part = self.batch.slice(begin, min(count, stop - self.at) - begin)
                parts.append(part)
                start += part.num_rows
        return pa.Table.from_batches(parts)


def numbers_of(column: Any, name: str, where: str) -> np.ndarray:
    """Makes an array of a column with one number in each row; arguments as of `array_of`.

    Raises:
        InvalidEpisode: A row has nothing, several numbers, or none.
    """
    found = array_of(column, name, where)
    if found.size != len(found):
        raise InvalidEpisode(
            f"the column {name!r} of {where} must have a number in each row, not {found.shape[1:]}"
        )
    return found.reshape(-1)


def array_of(column: Any, name: str, where: str) -> np.ndarray:
    """Makes an array of a column of numbers, or of lists of them that are of one length.

    Args:
        column: Of an Arrow table.
        name: Its name, for errors.
        where: What the rows are of, for errors.

    Raises:
        InvalidEpisode: A row has nothing, another length, or no numbers.
    """
    values, shape = column.combine_chunks(), [len(column)]
    while True:
        values = values.storage if isinstance(values, pa.ExtensionArray) else values
        if values.null_count:
            row = np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False))[0]
            row //= max(1, int(np.prod(shape[1:])))
            raise InvalidEpisode(f"the column {name!r} of {where} has nothing at row {row}")
        if (
            not pa.types.is_list(values.type)
            | pa.types.is_large_list(values.type)
            | (pa.types.is_fixed_size_list(values.type))
        ):
            break
        lengths = pc.list_value_length(values).to_numpy(zero_copy_only=False)
        width = int(lengths[0]) if len(lengths) else 0
        if (lengths != width).any():
            odd = int(np.argmax(lengths != width))
            row = odd // max(1, int(np.prod(shape[1:])))
            raise InvalidEpisode(
                f"the column {name!r} of {where} has {lengths[odd]} numbers at row {row}, but "
                f"{width} at row 0"
            )
        shape.append(width)
        values = values.flatten()
    kind = values.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise InvalidEpisode(f"the column {name!r} of {where} holds {kind}, not numbers")
    return np.asarray(values.to_numpy(zero_copy_only=False)).reshape(shape)


def read_rows(path: Path, *, without: str | None = None) -> list[dict[str, Any]]:
    """Reads a file row by row; arguments as of `read_columns`.

    Raises:
        EpisodeNotFound: There is no such file.
        InvalidEpisode: As `read_columns`.
    """
    columns = read_columns(path, without=without)
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
