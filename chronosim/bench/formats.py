"""Times exports and imports, beside the format's own library writing and reading as much."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from time import process_time
from types import MappingProxyType

import numpy as np
import torch
import zarr
from PIL import Image

from chronosim.bench.episodes import SMALL, Figure, slide
from chronosim.bench.timing import memory_of
from chronosim.episodes.writer import write_at_once
from chronosim.errors import InvalidConfig, MissingDependency
from chronosim.formats import export_dataset, import_dataset
from chronosim.settings import parts
from chronosim.types import Frames

try:
    import av
    import h5py
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as error:
    raise MissingDependency(
        "timing the formats needs their libraries: pip install 'chronosim[datasets]'"
    ) from error


@dataclass(frozen=True, slots=True)
class Library:
    """What a format is read and written with, and nothing else of it.

    Attributes:
        name: The library.
        write: Writes the frames of episodes, uint8 (n, height, width, 3) each, into a folder.
        read: Reads all frames of an export; None: the format is not imported.
        imported: The name of the importer.
    """

    name: str
    write: Callable[[Path, Sequence[Frames]], object]
    read: Callable[[Path], Frames] | None = None
    imported: str = ""


def bench_formats(
    folder: Path,
    names: Sequence[str],
    *,
    episodes: int = 50,
    steps: int = 4,
    rows: int = 300,
    seed: int = 0,
    progress: Callable[[str], object] = lambda format: None,
) -> list[Figure]:
    """Measures what short episodes take to be exported, and a long one to be exported and imported.

    What the library alone is timed with are the frames, and for an import those in Zarr besides, in
    one call each: the least that anyone could do.

    Args:
        folder: An empty folder on the disk in question.
        names: Formats, of `LIBRARIES`.
        episodes: How many short ones, of 96 x 96.
        steps: In each of them.
        rows: Of the long episode.
        seed: Of the frames.
        progress: Called with each format before it is timed.

    Returns:
        The figures: seconds of CPU, and MB of memory above what the process held before.

    Raises:
        InvalidConfig: There is no such format.
        MissingDependency: A format's library is not installed.
        EpisodeWriteError: The disk refuses.
    """
    if unknown := sorted(set(names) - set(LIBRARIES)):
        raise InvalidConfig(
            f"there is no format {unknown[0]!r} to time; there are: {', '.join(LIBRARIES)}"
        )
    short, long = folder / "short", folder / "long"
    clips = [_write(short / f"{one:07d}", steps, seed + one) for one in range(episodes)]
    whole = [_write(long / "0000000", rows, seed)]
    figures: list[Figure] = []
    for name in names:
        progress(name)
        library = LIBRARIES[name]
        for source, frames, what in (
            (short, clips, f"{episodes:,} x {steps} steps"),
            (long, whole, f"{rows:,} rows"),
        ):
            figures += _exported(folder, source, name, library, frames, what)
        if library.read is not None:
            figures += _imported(folder, name, library, f"{rows:,} rows")
        shutil.rmtree(folder / name)
    return figures


def _write(path: Path, steps: int, seed: int) -> Frames:
    """Writes an episode; gives its frames."""
    made = list(slide(np.random.default_rng(seed), steps, SMALL, time=1))
    write_at_once(path, made[0].before, made, steps, {"seconds_per_step": 0.1, "seed": seed})
    return np.stack([made[0].before.frame, *(step.after.frame for step in made)])


def _exported(
    folder: Path, source: Path, name: str, library: Library, frames: Sequence[Frames], what: str
) -> Iterator[Figure]:
    exporter, out, raw = parts.load("export", name), folder / name / source.name, folder / "raw"
    ours = _timed(lambda: export_dataset(source, out, exporter, progress=False))
    raw.mkdir()
    theirs = _timed(lambda: library.write(raw, frames))
    shutil.rmtree(raw)
    yield from _figures(f"export to {name}, {what}", library.name, ours, theirs)


def _imported(folder: Path, name: str, library: Library, what: str) -> Iterator[Figure]:
    exported, raw, read = folder / name / "long", folder / "raw", library.read
    assert read is not None
    importer, out = parts.load("import", library.imported), folder / name / "back"
    ours = _timed(lambda: import_dataset(exported, out, importer, progress=False))
    theirs = _timed(lambda: _to_zarr(read(exported), raw))
    shutil.rmtree(raw)
    yield from _figures(f"import from {name}, {what}", f"{library.name} + zarr", ours, theirs)


def _timed(call: Callable[[], object]) -> tuple[float, float]:
    """Seconds of CPU, and bytes of memory at most; what is loaded first counts for both."""
    began = process_time()
    grown = memory_of(call, torch.device("cpu"))
    return process_time() - began, float("nan") if grown is None else grown


def _figures(
    measure: str, library: str, ours: tuple[float, float], theirs: tuple[float, float]
) -> Iterator[Figure]:
    for index, unit, size in ((0, "s", 1.0), (1, "MB", 1e6)):
        named = f"{measure} ({library})" if unit == "s" else f"{measure}: memory"
        yield Figure("chronosim", named, ours[index] / size, unit)
        yield Figure("library", named, theirs[index] / size, unit)


def _to_zarr(frames: Frames, path: Path) -> None:
    group = zarr.create_group(path)
    chunks = (min(64, len(frames)), *frames.shape[1:])
    array = group.create_array("frames", shape=frames.shape, chunks=chunks, dtype="uint8")
    array[:] = frames


def _write_parquet(folder: Path, episodes: Sequence[Frames]) -> None:
    cells = [_png(frame) for frames in episodes for frame in frames[:-1]]
    pq.write_table(pa.table({"image": cells}), folder / "0.parquet")


def _png(frame: np.ndarray) -> bytes:
    file = BytesIO()
    Image.fromarray(frame).save(file, "PNG", compress_level=1)
    return file.getvalue()


def _read_parquet(folder: Path) -> Frames:
    [file] = (folder / "data").rglob("*.parquet")
    table = pq.read_table(file)
    [name] = (one for one in table.column_names if "image" in one)
    cells = table[name].to_pylist()
    return np.stack([np.asarray(Image.open(BytesIO(cell["bytes"]))) for cell in cells])


def _write_zarr(folder: Path, episodes: Sequence[Frames]) -> None:
    _to_zarr(np.concatenate([frames[:-1] for frames in episodes]), folder / "0.zarr")


def _read_zarr(folder: Path) -> Frames:
    return np.asarray(zarr.open_group(folder, mode="r")["data/img"])


def _write_hdf5(folder: Path, episodes: Sequence[Frames]) -> None:
    with h5py.File(folder / "0.hdf5", "w") as file:
        for number, frames in enumerate(episodes):
            file.create_dataset(f"{number}/frames", data=frames, compression="gzip")


def _read_hdf5(folder: Path) -> Frames:
    [path] = folder.rglob("*.hdf5")
    found: list[Frames] = []

    def take(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset) and item.ndim == 4 and "next_obs" not in name:
            found.append(item[:])

    with h5py.File(path, "r") as file:
        file.visititems(take)
    return found[0]


def _write_mp4(folder: Path, episodes: Sequence[Frames]) -> None:
    for number, frames in enumerate(episodes):
        with av.open(str(folder / f"{number}.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=10, options={"crf": "12"})
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt, stream.codec_context.thread_count = "yuv420p", 1
            for frame in frames:
                picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
                container.mux(stream.encode(picture))
            container.mux(stream.encode())


def _write_clips(folder: Path, episodes: Sequence[Frames]) -> None:
    _write_mp4(
        folder, [frames[at : at + 2] for frames in episodes for at in range(len(frames) - 1)]
    )


def _read_mp4(folder: Path) -> Frames:
    [path] = folder.glob("*.mp4")
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def _write_rrd(folder: Path, episodes: Sequence[Frames]) -> None:
    import rerun as rr  # only who asks for this format waits

    for number, frames in enumerate(episodes):
        stream = rr.RecordingStream("bench", recording_id=str(number))
        stream.save(folder / f"{number}.rrd")
        for row, frame in enumerate(frames):
            stream.set_time("row", sequence=row)
            stream.log("camera", rr.Image(frame))
        stream.disconnect()


LIBRARIES: Mapping[str, Library] = MappingProxyType(
    {
        "lerobot": Library("pyarrow", _write_parquet, _read_parquet, "lerobot"),
        "diffusion-policy": Library("zarr", _write_zarr, _read_zarr, "diffusion-policy"),
        "minari": Library("h5py", _write_hdf5, _read_hdf5, "minari"),
        "robomimic": Library("h5py", _write_hdf5, _read_hdf5, "robomimic"),
        "mp4": Library("PyAV", _write_mp4, _read_mp4, "folder"),
        "diffsynth": Library("PyAV", _write_clips),
        "rerun": Library("rerun", _write_rrd),
    }
)
"""What each format is timed beside."""
