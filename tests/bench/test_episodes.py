from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from chronosim.bench.episodes import bench_episodes, slide, table
from chronosim.bench.formats import LIBRARIES, bench_formats
from chronosim.episodes import EpisodeReader, Step
from chronosim.episodes.writer import write_at_once
from chronosim.errors import InvalidConfig
from chronosim.formats import export_dataset
from chronosim.settings import parts
from chronosim.types import Observation


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


def test_formats_are_measured_beside_their_libraries(tmp_path: Path) -> None:
    assert sorted(LIBRARIES) == parts.names("export"), "each has a library beside it"
    figures = bench_formats(tmp_path, ["robomimic", "rerun"], episodes=2, steps=2, rows=3)
    assert {figure.store for figure in figures} == {"chronosim", "library"}
    assert list(dict.fromkeys(figure.measure for figure in figures)) == [
        "export to robomimic, 2 x 2 steps (h5py)",
        "export to robomimic, 2 x 2 steps: memory",
        "export to robomimic, 3 rows (h5py)",
        "export to robomimic, 3 rows: memory",
        "import from robomimic, 3 rows (h5py + zarr)",
        "import from robomimic, 3 rows: memory",
        "export to rerun, 2 x 2 steps (rerun)",
        "export to rerun, 2 x 2 steps: memory",
        "export to rerun, 3 rows (rerun)",
        "export to rerun, 3 rows: memory",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["long", "short"]
    with pytest.raises(InvalidConfig, match="no format 'avi' to time; there are: lerobot"):
        bench_formats(tmp_path, ["avi"])


def test_every_library_reads_what_was_exported(tmp_path: Path) -> None:
    write_at_once(tmp_path / "set" / "0", *_episode(3))
    frames = EpisodeReader(tmp_path / "set" / "0").frames
    for name, library in LIBRARIES.items():
        if library.read is not None and name != "mp4":  # which is not lossless
            exporter = parts.load("export", name)
            export_dataset(tmp_path / "set", tmp_path / name, exporter, progress=False)
            assert np.array_equal(library.read(tmp_path / name)[:3], frames[:3])
        (tmp_path / f"raw-{name}").mkdir()
        library.write(tmp_path / f"raw-{name}", [frames])


def _episode(steps: int) -> tuple[Observation, list[Step], int, dict[str, float]]:
    made = list(slide(np.random.default_rng(0), steps, (16, 24), time=1))
    return made[0].before, made, steps, {"seconds_per_step": 0.1}
