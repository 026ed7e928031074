"""Videos as they come: frames by their times, turned, cut by their edit lists, of every ending."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chronosim.errors import EpisodeNotFound, InvalidAction, InvalidEpisode
from chronosim.formats.clips import KINDS, inspect_clip, read_clip
from chronosim.formats.importing import ImportReport, import_dataset
from chronosim.settings import parts as config
from tests.formats.conftest import readers

SIZE = (32, 48)


def numbered(number: int) -> np.ndarray:
    """A frame that says which it is, whatever a codec makes of it."""
    return np.full((*SIZE, 3), 10 * number, np.uint8)


def number_of(frame: np.ndarray) -> int:
    return round(float(frame.mean()) / 10)


def write_video(path: Path, times: dict[int, Fraction], codec: str = "libx264") -> None:
    """Writes frames by number, each at its time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = {".mov": "mov", ".mkv": "matroska", ".webm": "webm", ".gif": "gif"}
    kind |= {ending: KINDS[ending] for ending in (".avi", ".ts", ".mpg")}
    options = {"crf": "1"} if codec == "libx264" else {}
    with av.open(path, "w", format=kind.get(path.suffix.lower(), "mp4")) as container:
        stream: Any = container.add_stream(codec, rate=25, options=options)
        stream.height, stream.width = SIZE
        stream.pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
        clock = {"libx264": 600, "gif": 100}.get(codec, 25)
        stream.codec_context.time_base = Fraction(1, clock)
        stream.codec_context.thread_count = 1
        for number, time in times.items():
            picture = av.VideoFrame.from_ndarray(numbered(number), format="rgb24")
            picture.time_base = stream.codec_context.time_base
            picture.pts = round(time / picture.time_base)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def at(rate: int, numbers: Sequence[int]) -> dict[int, Fraction]:
    return {number: Fraction(number, rate) for number in numbers}


CAMERA, LENGTHS = "observation.images.top", (5, 4)
VIDEO = Path("videos") / CAMERA / "chunk-000" / "file-000.mp4"


def lerobot_v3(
    root: Path,
    times: dict[int, Fraction],
    *,
    fps: int = 10,
    files: Sequence[int] = (0, 0),
    action: tuple[str, Any] = ("float32", None),
    **columns: Any,
) -> Path:
    """Two episodes, of 5 and 4 rows, in one video; as LeRobot 0.4.4 lays them out."""
    features: dict[str, Any] = {
        CAMERA: {"dtype": "video", "shape": [*SIZE, 3], "names": None},
        "action": {"dtype": action[0], "shape": [1], "names": None},
        "observation.state": {"dtype": "float32", "shape": [1], "names": None},
        "timestamp": {"dtype": "float32", "shape": [1], "names": None},
    }
    info = {
        "codebase_version": "v3.0",
        "fps": fps,
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
        "features": features,
    }
    (root / "meta" / "episodes" / "chunk-000").mkdir(parents=True)
    (root / "data" / "chunk-000").mkdir(parents=True)
    (root / "meta" / "info.json").write_text(json.dumps(info))
    pq.write_table(pa.table({"task_index": [0], "task": ["go"]}), root / "meta" / "tasks.parquet")
    episodes, begin = [], 0
    for episode, length in enumerate(LENGTHS):
        place = {"chunk_index": 0, "file_index": 0}
        video = place | {
            "from_timestamp": begin / fps,
            "to_timestamp": (begin + length) / fps,
        }
        row = {"episode_index": episode, "length": length, "tasks": ["go"]}
        row |= {f"data/{name}": value for name, value in place.items()}
        row |= {f"videos/{CAMERA}/{name}": value for name, value in video.items()}
        episodes.append(row | {"stats/action/mean": [0.0]})
        begin += length
        table = {
            "action": action[1][:length]
            if action[1]
            else [episode + index / 8 for index in range(length)],
            "observation.state": [float(10 * episode + index) for index in range(length)],
            "timestamp": [index / fps for index in range(length)],
            "frame_index": list(range(length)),
            "episode_index": [episode] * length,
        }
        table |= {name: values[:length] for name, values in columns.items()}
        path = root / "data" / "chunk-000" / f"file-{files[episode]:03d}.parquet"
        found = pa.table(table)
        pq.write_table(
            pa.concat_tables([pq.read_table(path), found]) if path.exists() else found, path
        )
    meta = root / "meta" / "episodes" / "chunk-000" / "file-000.parquet"
    pq.write_table(pa.Table.from_pylist(episodes), meta)
    write_video(root / VIDEO, times)
    return root


def imported(source: Path, name: str = "lerobot", **settings: Any) -> ImportReport:
    importer = config.load("import", name, **settings)
    return import_dataset(source, source.with_name("out"), importer, progress=False)


def numbers(report: ImportReport) -> list[list[int]]:
    return [[number_of(frame) for frame in reader.frames] for reader in readers(report.path)]


@pytest.mark.parametrize(
    ("times", "fps", "expected", "told"),
    [
        (at(10, range(9)), 10, [[0, 1, 2, 3, 4], [5, 6, 7, 8]], False),
        (at(20, range(18)), 10, [[0, 2, 4, 6, 8], [10, 12, 14, 16]], False),
        (at(24, range(10)), 25, [[0, 1, 2, 3, 4], [5, 6, 7, 8]], True),
        (
            {n: Fraction(n, 10) + Fraction(n % 2, 100) for n in range(9)},
            10,
            [[0, 1, 2, 3, 4], [5, 6, 7, 8]],
            True,
        ),
    ],
    ids=["as many", "twice as many", "24 against 25 fps", "a clock that trembles"],
)
def test_frames_are_found_by_their_times(
    tmp_path: Path, times: dict[int, Fraction], fps: int, expected: list[list[int]], told: bool
) -> None:
    report = imported(lerobot_v3(tmp_path / "set", times, fps=fps))
    assert numbers(report) == expected
    assert bool(report.converted) == told


@pytest.mark.parametrize(
    ("lost", "row", "episode", "second", "nearest"),
    [
        ({4}, 4, 0, 0.4, "the nearest is at 0.300 s"),
        ({2, 3}, 2, 0, 0.2, "the nearest is at 0.100 s"),
        ({0}, 0, 0, 0.0, "the nearest is at 0.100 s"),
        ({5}, 0, 1, 0.5, "the nearest is at 0.600 s"),
        ({8}, 3, 1, 0.8, "the nearest is at 0.700 s"),
        ({5, 6, 7, 8}, 0, 1, 0.5, "there is none"),
    ],
)
def test_a_lost_frame_is_not_filled_with_another(
    tmp_path: Path, lost: set[int], row: int, episode: int, second: float, nearest: str
) -> None:
    source = lerobot_v3(tmp_path / "set", at(10, [n for n in range(9) if n not in lost]))
    sentence = rf"row {row} of episode {episode} needs the frame at {second:.3f} s .* {nearest}"
    with pytest.raises(InvalidEpisode, match=sentence):
        imported(source)


def test_the_frames_of_a_neighbour_are_never_near_enough(tmp_path: Path) -> None:
    """Its first frame is 0.04 s from the last row: near enough, were it of this episode."""
    times = at(10, [0, 1, 2, 3, 5, 6, 7, 8]) | {5: Fraction(48, 100)}
    times = dict(sorted(times.items(), key=lambda each: each[1]))
    rows = [0.0, 0.1, 0.2, 0.3, 0.44]
    source = lerobot_v3(tmp_path / "set", times, timestamp=rows)
    with pytest.raises(InvalidEpisode, match=r"row 4 of episode 0 needs the frame at 0.440 s"):
        imported(source)


def test_rows_are_found_by_their_own_numbers_and_put_in_order(tmp_path: Path) -> None:
    """As sets that were merged or split have it: the files that the episodes name are stale."""
    order = [2, 0, 3, 1, 4]
    source = lerobot_v3(
        tmp_path / "set",
        at(10, range(9)),
        files=(3, 1),
        frame_index=order,
        timestamp=[index / 10 for index in order],
    )
    # The second episode's rows are four of five: 2, 0, 3, 1.
    report = imported(source)
    assert numbers(report) == [[0, 1, 2, 3, 4], [5, 6, 7, 8]]
    first, second = readers(report.path)
    assert first.states.reshape(-1).tolist() == [1, 3, 0, 2, 4]
    assert second.states.reshape(-1).tolist() == [11, 13, 10, 12]


def test_what_the_metadata_leave_out_is_told(tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.2, 0.3, 0.7]  # a row was lost
    source = lerobot_v3(tmp_path / "set", at(10, range(9)) | {9: Fraction(9, 10)}, timestamp=times)
    info = source / "meta" / "info.json"
    info.write_text(json.dumps(json.loads(info.read_text()) | {"total_episodes": 4}))
    meta = source / "meta" / "episodes" / "chunk-000" / "file-000.parquet"
    rows = pq.read_table(meta).to_pylist()
    rows[0][f"videos/{CAMERA}/to_timestamp"] = 1.0
    pq.write_table(pa.Table.from_pylist(rows), meta)
    report = imported(source)
    assert "the uneven timestamps of rows" in report.lost
    assert "2 episodes that the info counts and the metadata do not name" in report.lost
    assert numbers(report)[0] == [0, 1, 2, 3, 7]
    pq.write_table(pa.Table.from_pylist([rows[0], rows[0]]), meta)
    with pytest.raises(InvalidEpisode, match="name episode 0 twice"):
        imported(source)


def test_numbers_that_contradict_the_info_are_refused(tmp_path: Path) -> None:
    values = ("int64", [0.0, 0.5, 1.0, 2.0, 3.0])
    source = lerobot_v3(tmp_path / "set", at(10, range(9)), action=values)
    with pytest.raises(
        InvalidAction, match=r"the action of episode 0 .* is 0.5 at row 1, .* int64"
    ):
        imported(source)


def test_rows_of_one_file_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from chronosim.formats import parquet

    read: list[int] = []
    inner = pq.ParquetFile.iter_batches

    def counted(self: Any, *args: Any, **settings: Any) -> Any:
        for batch in inner(self, *args, **settings):
            read.append(batch.num_rows)
            yield batch

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", counted)
    rows = 3000
    table = {"episode_index": np.arange(rows) // 10, "value": np.arange(rows)}
    pq.write_table(pa.table(table), tmp_path / "all.parquet")
    tables = parquet.EpisodeTables([tmp_path / "all.parquet"], ["value"])
    for episode in range(300):
        found = tables.rows(episode, 10, tmp_path / "all.parquet")
        assert found.column("value").to_pylist() == list(range(episode * 10, episode * 10 + 10))
    assert sum(read) == rows
    assert tables.rows(7, 10, None).column("value").to_pylist() == list(range(70, 80))


def folder_with(path: Path, rows: int) -> Path:
    """A table beside a video."""
    table = "action\n" + "".join(f"{row}.5\n" for row in range(rows))
    path.with_suffix(".csv").write_text(table)
    return path.parent


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("one.MP4", "libx264"),
        ("one.m4v", "libx264"),
        ("one.mov", "libx264"),
        ("one.mkv", "libx264"),
        ("one.ts", "libx264"),
        ("one.mpg", "mpeg2video"),
        ("one.avi", "mpeg4"),
        ("one.gif", "gif"),
    ],
)
def test_videos_of_every_kind(tmp_path: Path, name: str, codec: str) -> None:
    write_video(tmp_path / "set" / name, at(25, range(6)), codec)
    source = folder_with(tmp_path / "set" / name, 5)
    report = imported(source, "folder")
    made = numbers(report)[0]
    assert made == list(range(6))
    assert report.lost == ()


def patched(path: Path, box: bytes, offset: int, values: bytes) -> None:
    """Writes into a box of an MP4."""
    content = bytearray(path.read_bytes())
    begin = content.index(box) + len(box) + offset
    content[begin : begin + len(values)] = values
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("matrix", "turned"),
    [
        ((0, 1, -1, 0), lambda frame: np.rot90(frame, -1)),
        ((-1, 0, 0, -1), lambda frame: frame[::-1, ::-1]),
        ((0, -1, 1, 0), lambda frame: np.rot90(frame)),
        ((-1, 0, 0, 1), lambda frame: frame[:, ::-1]),
    ],
    ids=["clockwise", "upside down", "anticlockwise", "mirrored"],
)
def test_a_video_is_shown_as_its_header_turns_it(
    tmp_path: Path, matrix: tuple[int, int, int, int], turned: Any
) -> None:
    path = tmp_path / "set" / "one.mp4"
    write_video(path, at(25, range(3)))
    ramp = np.linspace(0, 200, SIZE[0] * SIZE[1]).reshape(*SIZE, 1).repeat(3, -1).astype(np.uint8)
    with av.open(path, "w", format="mp4") as container:
        stream: Any = container.add_stream("libx264", rate=25, options={"crf": "1"})
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(ramp, format="rgb24")))
        container.mux(stream.encode())
    a, b, c, d = matrix
    numbers = (a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    patched(path, b"tkhd", 40, struct.pack(">9i", *numbers))
    report = imported(folder_with(path, 2), "folder")
    frame = readers(report.path)[0].frames[0]
    assert frame.shape == turned(ramp).shape
    assert np.abs(frame.astype(int) - turned(ramp)).max() <= 4
    assert report.converted == ("videos to upright frames, as their headers say",)


def test_a_video_at_an_angle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "set" / "one.mp4"
    write_video(path, at(25, range(3)))
    patched(path, b"tkhd", 40, struct.pack(">9i", 46341, 46341, 0, -46341, 46341, 0, 0, 0, 1 << 30))
    with pytest.raises(InvalidEpisode, match="at an angle of -45"):
        imported(folder_with(path, 2), "folder")


@pytest.mark.parametrize(("begin", "end"), [(3, 10), (0, 6)])
def test_what_an_edit_list_cuts_off_is_not_shown(tmp_path: Path, begin: int, end: int) -> None:
    path = tmp_path / "set" / "one.mp4"
    write_video(path, at(25, range(10)))
    content = path.read_bytes()
    film, media = (  # ticks a second
        int.from_bytes(content[content.index(box) + 16 :][:4]) for box in (b"mvhd", b"mdhd")
    )
    [first] = struct.unpack(">i", content[content.index(b"elst") + 16 :][:4])
    cut = struct.pack(">Ii", (end - begin) * film // 25, first + begin * media // 25)
    patched(path, b"elst", 8, cut)
    assert inspect_clip(path).frames == len(list(read_clip(path))) == end - begin
    report = imported(folder_with(path, end - begin), "folder")
    assert numbers(report) == [list(range(begin, end))]


def test_depth_is_no_camera_and_told(tmp_path: Path) -> None:
    source = lerobot_v3(tmp_path / "set", at(10, range(9)))
    info = json.loads((source / "meta" / "info.json").read_text())
    depth = info["features"][CAMERA] | {"info": {"video.is_depth_map": True}}
    info["features"]["observation.depth.top"] = depth
    (source / "meta" / "info.json").write_text(json.dumps(info))
    assert "the depth observation.depth.top" in imported(source).lost
    del info["features"][CAMERA]
    (source / "meta" / "info.json").write_text(json.dumps(info))
    with pytest.raises(InvalidEpisode, match=r"no camera.* observation.depth.top \(depth\)"):
        imported(source)


def test_a_pipe_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    os.mkfifo(tmp_path / "set" / "one.mp4")
    with pytest.raises(EpisodeNotFound, match="no frames beside"):
        imported(folder_with(tmp_path / "set" / "one.mp4", 2), "folder")


def test_a_file_without_a_video_track(tmp_path: Path) -> None:
    path = tmp_path / "set" / "one.mp4"
    path.parent.mkdir()
    with av.open(path, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=8000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        silence.sample_rate = 8000
        container.mux(stream.encode(silence))
        container.mux(stream.encode())
    with pytest.raises(InvalidEpisode, match=r"one.mp4 has no video track"):
        imported(folder_with(path, 2), "folder")


def test_frames_at_uneven_times_are_told(tmp_path: Path) -> None:
    path = tmp_path / "set" / "one.mp4"
    write_video(path, at(25, [0, 1, 2, 5, 6]))
    report = imported(folder_with(path, 5), "folder")
    assert "the uneven times of the frames of one.mp4" in report.lost
