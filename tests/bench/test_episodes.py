from __future__ import annotations

from pathlib import Path

import pytest

from chronosim.bench.episodes import bench_episodes, table
from chronosim.bench.formats import LIBRARIES, bench_formats
from chronosim.errors import InvalidConfig


def test_every_store_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chronosim.bench.episodes._LARGE", (32, 40))
    figures = bench_episodes(tmp_path, steps=9, windows=3)
    stores = {figure.store for figure in figures}
    assert stores == {"live", "compacted", "npy files", "HDF5", "zarr"}
    assert all(figure.value > 0 for figure in figures)
    for measure in ("append", "windows of 9", "an episode", "its size"):
        assert any(figure.measure.startswith(measure) for figure in figures)
    lines = table(figures).splitlines()
    assert lines[0].split() == ["live", "npy", "files", "HDF5", "compacted", "zarr"]
    assert len({len(line) for line in lines}) == 1


def test_every_format_is_measured_beside_its_library(tmp_path: Path) -> None:
    figures = bench_formats(tmp_path, list(LIBRARIES), episodes=2, steps=2, rows=3)
    assert {figure.store for figure in figures} == {"chronosim", "library"}
    for name in LIBRARIES:
        exports = [figure for figure in figures if figure.measure.startswith(f"export to {name},")]
        assert len(exports) == 8, "seconds and MB of two exports, each beside the library's"
    imports = {figure.measure.partition(",")[0] for figure in figures if "import" in figure.measure}
    assert imports == {
        f"import from {name}" for name in LIBRARIES if name not in ("diffsynth", "rerun")
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["long", "short"]
    with pytest.raises(InvalidConfig, match="no format 'avi' to time; there are: lerobot"):
        bench_formats(tmp_path, ["avi"])
