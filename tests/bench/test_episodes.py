from __future__ import annotations

from pathlib import Path

import pytest

from chronosim.bench.episodes import bench_episodes, table


def test_every_store_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chronosim.bench.episodes._LARGE", (32, 40))
    figures = bench_episodes(tmp_path, steps=9, windows=3)
    stores = {figure.store for figure in figures}
    assert stores == {"live", "compacted", "npy files", "HDF5"}
    assert all(figure.value > 0 for figure in figures)
    for measure in ("append", "windows of 9", "an episode", "its size"):
        assert any(figure.measure.startswith(measure) for figure in figures)
    lines = table(figures).splitlines()
    assert lines[0].split() == ["live", "npy", "files", "HDF5", "compacted"]
    assert len({len(line) for line in lines}) == 1
