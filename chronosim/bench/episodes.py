"""Times writing and reading episodes, beside plain numpy files and HDF5 on the same disk."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import zarr

from chronosim.episodes.compaction import compact
from chronosim.episodes.dataset import EpisodeDataset
from chronosim.episodes.layout import row_of
from chronosim.episodes.writer import EpisodeWriter, write_at_once
from chronosim.errors import MissingDependency
from chronosim.types import Observation, Prediction, Step

_WINDOW, _PASSES = 9, 3  # frames; timed passes over all windows, of which the median counts
SMALL, _LARGE = (96, 96), (480, 832)  # nano's frames, and ChronoEdit's at 480p


class NpyLog:
    """Raw .npy files, one for each frame and each trajectory, and a line of JSON for each step.

    Args:
        folder: Where; made.
        first: The step whose outcome the episode begins with.
    """

    def __init__(self, folder: Path, first: Step) -> None:
        folder.mkdir()
        self._folder, self._steps = folder, 0
        np.save(folder / "frame-0.npy", first.after.frame)

    def append(self, step: Step) -> None:
        """Keeps a step."""
        self._steps += 1
        np.save(self._folder / f"frame-{self._steps}.npy", step.after.frame)
        np.save(self._folder / f"between-{self._steps}.npy", step.prediction.trajectory[:-1])
        with (self._folder / "steps.jsonl").open("a", encoding="utf-8") as file:
            file.write(row_of(step, "float32", between=0, clip=0).dumps() + "\n")

    def window(self, start: int) -> np.ndarray:
        """Reads nine observed frames."""
        files = (self._folder / f"frame-{index}.npy" for index in range(start, start + 9))
        return np.stack([np.load(file) for file in files])

    def close(self) -> None:
        """Does nothing: every file is closed already."""


class Hdf5Log:
    """One HDF5 file with a chunk for each frame, compressed by LZF and flushed after each step.

    A process that dies while it writes may leave a file that cannot be opened.

    Args:
        folder: Where; made.
        first: The step whose outcome the episode begins with.

    Raises:
        MissingDependency: h5py is not installed.
    """

    def __init__(self, folder: Path, first: Step) -> None:
        try:
            import h5py
        except ImportError as error:
            raise MissingDependency(
                "HDF5, to compare with, needs h5py: pip install 'chronosim[datasets]'"
            ) from error
        folder.mkdir()
        # No cache of chunks: one episode would fit into it, a data set to train on does not.
        self._file = h5py.File(folder / "episode.hdf5", "w", rdcc_nbytes=0)
        between = first.prediction.trajectory[:-1].shape
        self._frames = self._new("frames", first.after.frame.shape, np.uint8)
        self._between = self._new("between", between, np.uint8)
        self._records = self._new("records", (), h5py.string_dtype())
        self._put(self._frames, first.after.frame)

    def append(self, step: Step) -> None:
        """Keeps a step."""
        self._put(self._frames, step.after.frame)
        self._put(self._between, step.prediction.trajectory[:-1])
        self._put(self._records, row_of(step, "float32", between=0, clip=0).dumps())
        self._file.flush()

    def window(self, start: int) -> np.ndarray:
        """Reads nine observed frames."""
        return self._frames[start : start + 9]

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _new(self, name: str, shape: tuple[int, ...], dtype: Any) -> Any:
        return self._file.create_dataset(
            name,
            (0, *shape),
            dtype,
            maxshape=(None, *shape),
            chunks=(1, *shape),
            compression="lzf" if shape else None,
        )

    def _put(self, dataset: Any, value: Any) -> None:
        dataset.resize(len(dataset) + 1, axis=0)
        dataset[-1] = value


_PLAIN = (("npy files", NpyLog), ("HDF5", Hdf5Log))


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing measured.

    Attributes:
        store: What it was measured on: `live` and `compacted` are chronosim's, the others plain.
        measure: What was measured.
        value: How much.
        unit: Of what.
    """

    store: str
    measure: str
    value: float
    unit: str


def bench_episodes(
    folder: Path, *, steps: int = 100, windows: int = 400, seed: int = 0
) -> list[Figure]:
    """Measures appending, reading windows of 9 frames at random, and how much lies on disk.

    Args:
        folder: An empty folder on the disk in question.
        steps: Steps of the small episode (96 x 96, trajectories of 9 frames); the large one
            (480 x 832, trajectories of 5) has a tenth as many, 4 at least.
        windows: How many windows are read, of the small episode; from each store in turn, four
            times, of which the median of the last three counts.
        seed: Seed of the frames and of the windows' order.

    Returns:
        The figures, grouped by measure.

    Raises:
        MissingDependency: h5py is not installed.
        EpisodeWriteError: The disk refuses.
    """
    rng = np.random.default_rng(seed)
    small = list(slide(rng, max(_WINDOW, steps), SMALL, time=9))
    starts = rng.integers(0, len(small) + 2 - _WINDOW, windows).tolist()
    figures = list(_bench(folder / "small", "96 x 96, 9 a step", small, starts))
    large = list(slide(rng, max(4, steps // 10), _LARGE, time=5))
    figures += _bench(folder / "large", "480 x 832, 5 a step", large, [])
    measures = list(dict.fromkeys(figure.measure for figure in figures))
    return sorted(figures, key=lambda figure: measures.index(figure.measure))


def table(figures: Sequence[Figure]) -> str:
    """Lays figures out: a line for each measure, a column for each store."""
    stores = list(dict.fromkeys(figure.store for figure in figures))
    found = {(figure.measure, figure.store): figure for figure in figures}
    lines = [["", *stores]]
    for measure in dict.fromkeys(figure.measure for figure in figures):
        row = [found.get((measure, store)) for store in stores]
        unit = next(figure.unit for figure in row if figure is not None)
        lines.append([f"{measure}, {unit}", *("" if one is None else _short(one) for one in row)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])])
        for line in lines
    )


def _bench(
    folder: Path, size: str, steps: Sequence[Step], starts: Sequence[int]
) -> Iterator[Figure]:
    """Everything about one episode; without windows if there are no starts."""
    folder.mkdir()
    with EpisodeWriter(folder / "live", steps[0].after, {}, compact=False) as writer:
        yield from _append("live", size, writer.append, steps)
    shutil.copytree(folder / "live", folder / "compacted")
    began = perf_counter()
    compact(folder / "compacted")
    yield Figure("compacted", f"compact an episode, {size}", perf_counter() - began, "s")
    yield from _at_once(folder, size, steps)
    logs = {store: kind(folder / store, steps[0]) for store, kind in _PLAIN}
    for store, log in logs.items():
        yield from _append(store, size, log.append, steps)
    windows: dict[str, Callable[[int], object]] = {
        store: EpisodeDataset([folder / store], horizon=min(_WINDOW - 1, len(steps))).__getitem__
        for store in ("live", "compacted")
    }
    windows |= {store: log.window for store, log in logs.items()}
    yield from _read(windows, size, starts)
    for log in logs.values():
        log.close()
    for store in windows:
        yield from _extent(store, size, folder / store)


def _at_once(folder: Path, size: str, steps: Sequence[Step]) -> Iterator[Figure]:
    """An episode that is there already, as an import writes it; beside it, the same arrays."""
    frames = np.stack([step.after.frame for step in steps])
    between = np.stack([step.prediction.trajectory[:-1] for step in steps])
    count = len(frames) * (1 + between.shape[1])
    began = perf_counter()
    write_at_once(folder / "at-once", steps[0].before, steps, len(steps), {})
    yield Figure(
        "compacted", f"write at once, {size}", count / (perf_counter() - began), "frames/s"
    )
    began = perf_counter()
    group = zarr.create_group(folder / "zarr")
    for name, array in (("frames", frames), ("between", between)):
        chunks = (max(1, 2**18 // array[0].nbytes), *array.shape[1:])
        group.create_array(name, shape=array.shape, chunks=chunks, dtype="uint8")[:] = array
    yield Figure("zarr", f"write at once, {size}", count / (perf_counter() - began), "frames/s")


def _append(
    store: str, size: str, append: Callable[[Step], None], steps: Sequence[Step]
) -> Iterator[Figure]:
    seconds = []
    for step in steps:
        began = perf_counter()
        append(step)
        seconds.append(perf_counter() - began)
    for share in (50, 95):
        milliseconds = float(np.percentile(seconds, share)) * 1000
        yield Figure(store, f"append a step, {size}, p{share}", milliseconds, "ms")
    frames = sum(len(step.prediction.trajectory) for step in steps)
    yield Figure(store, f"append, {size}", frames / sum(seconds), "frames/s")


def _read(
    windows: Mapping[str, Callable[[int], object]], size: str, starts: Sequence[int]
) -> Iterator[Figure]:
    """Reads the same windows from each store in turn: what else the machine does slows down all."""
    if not starts:
        return
    seconds: dict[str, list[float]] = {store: [] for store in windows}
    for _ in range(1 + _PASSES):
        for store, window in windows.items():
            began = perf_counter()
            for start in starts:
                window(start)
            seconds[store].append(perf_counter() - began)
    for store, (_, *timed) in seconds.items():  # the first pass opens and warms up
        rate = _WINDOW * len(starts) / float(np.median(timed))
        yield Figure(store, f"windows of {_WINDOW}, {size}", rate, "frames/s")


def _extent(store: str, size: str, path: Path) -> Iterator[Figure]:
    sizes = [file.stat().st_size for file in path.rglob("*") if file.is_file()]
    yield Figure(store, f"an episode, {size}", len(sizes), "files")
    yield Figure(store, f"its size, {size}", sum(sizes) / 2**20, "MiB")


def slide(
    rng: np.random.Generator, count: int, size: tuple[int, int], *, time: int
) -> Iterator[Step]:
    """Gives steps through a landscape that slides by, as noisy as a model's: a grey level.

    Args:
        rng: Draws landscape and noise.
        count: How many steps.
        size: Height and width of a frame, multiples of 8, pixels.
        time: Frames in a trajectory.
    """
    height, width = size
    colours = rng.integers(20, 236, (6, 3), np.uint8)
    coarse = colours[rng.integers(0, 6, (height // 8, width // 8))]
    scene = coarse.repeat(8, 0).repeat(8, 1).astype(np.float32)
    after = Observation(scene.astype(np.uint8), np.array([-1], np.float32))
    for index in range(count):
        slid = np.stack([np.roll(scene, index * time + moment, 1) for moment in range(time)])
        noise = rng.standard_normal(slid.shape, np.float32) * 0.7
        frames = (slid + noise).clip(0, 255).round().astype(np.uint8)
        before, after = (
            after,
            Observation(frames[-1].copy(), np.array([index], np.float32), index + 1),
        )
        action = np.array([0.1, 0.2, 0.3], np.float32)
        text = f"The car drives at {index} m/s. Steer straight with 10% throttle and 0% brake."
        yield Step(before, action, text, index, Prediction(frames), after, 1.0, False, False, 0.3)


def _short(figure: Figure) -> str:
    return f"{figure.value:,.0f}" if figure.value >= 100 else f"{figure.value:,.1f}"
