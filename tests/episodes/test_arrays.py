from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from chronosim.episodes.arrays import read_direct
from chronosim.episodes.place import open_array

Write = Callable[..., Path]


def arrays(path: Path) -> list[zarr.Array[Any]]:
    return [
        open_array(path, str(file.parent.relative_to(path))) for file in path.glob("*/*/*.json")
    ]


@pytest.mark.parametrize("compact", [False, True])
def test_it_reads_what_zarr_reads(
    write: Write, compact: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chronosim.episodes.compaction._CHUNK", 4 * 8 * 10 * 3)
    path = write("episode", compact=compact)
    read = 0
    for array in arrays(path):
        for start, stop in ((0, 1), (3, 12), (4, 8), (0, 20), (19, 20), (7, 7)):
            rows = read_direct(path, array, start, stop)
            if array.name.endswith("records"):
                assert rows is None, "words are for zarr"
            elif rows is not None:
                assert np.array_equal(rows, np.asarray(array[start:stop]))
                read += 1
    assert read >= 6


def test_shards_and_parts_of_rows_are_for_zarr(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chronosim.episodes.compaction._PLAIN", 0)
    path = write("episode")
    assert [read_direct(path, array, 0, 5) for array in arrays(path)] == [None] * 3


@pytest.mark.parametrize("harm", ["gone", "cut", "changed", "empty"])
def test_what_is_damaged_is_for_zarr(write: Write, harm: str) -> None:
    path = write("episode", compact=False)
    file = path / "live" / "frames" / "c.3.0.0.0"
    data = file.read_bytes()
    file.unlink()
    if harm != "gone":
        spoiled = {"cut": data[:-7], "changed": data[:9] + b"!" + data[10:], "empty": b""}
        file.write_bytes(spoiled[harm])
    array = open_array(path, "live/frames")
    assert read_direct(path, array, 2, 5) is None
    assert read_direct(path, array, 4, 9) is not None
