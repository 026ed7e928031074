"""Rerun recordings, one `.rrd` for each episode, to look at in Rerun's viewer."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from chronosim.errors import InvalidConfig, MissingDependency
from chronosim.formats.columns import CONTENTS, EXACT, SUCCESS, EpisodeColumns
from chronosim.formats.exporting import provenance

try:
    import rerun as rr
    import rerun_bindings
except ImportError as error:
    raise MissingDependency("this format needs Rerun: pip install 'chronosim[datasets]'") from error


@dataclass(frozen=True, slots=True)
class RerunExporter:
    """`<episode>.rrd`: frames, states, actions, rewards, ends and words over `row` and `time`.

    What made an episode is a property of its recording.

    Attributes:
        camera: Entity of the frames.
        jpeg: Quality to compress the frames with, 1 to 100; None keeps every pixel.

    Raises:
        InvalidConfig: The quality is out of range.
    """

    camera: str = "camera"
    jpeg: int | None = None

    def __post_init__(self) -> None:
        if self.jpeg is not None and not 1 <= self.jpeg <= 100:
            raise InvalidConfig(f"jpeg must be a quality from 1 to 100, not {self.jpeg}")

    @property
    def holds(self) -> frozenset[str]:
        """What it has a place for."""
        return (CONTENTS | {SUCCESS}) - (set() if self.jpeg is None else {EXACT})

    def write(self, recordings: Iterable[EpisodeColumns], folder: Path) -> None:
        """Writes recordings into an empty folder.

        Raises:
            OSError: The disk refuses.
        """
        for recording in recordings:
            with (folder / f"{recording.name}.rrd").open("wb") as file:
                self._write(recording, file)
            # What is not asked for: rerun keeps the threads of every recording until the end.
            rerun_bindings.flush_and_cleanup_orphaned_recordings()

    def _write(self, recording: EpisodeColumns, file: BinaryIO) -> None:
        """Writes the bytes itself: rerun's own file goes on without a word when a disk is full."""
        stream: Any = rr.RecordingStream("chronosim", recording_id=self._id(recording))
        rr.set_log_time_enabled(False, recording=stream)  # a recording knows no time but its own
        encoded = stream.binary_stream()
        stream.send_recording_name(recording.name)
        said = json.dumps(provenance(recording), ensure_ascii=False)
        stream.send_property("chronosim", rr.AnyValues(about=said))
        self._send_columns(stream, recording)
        waiting = 0
        for row, frame in enumerate(recording.frames):
            stream.set_time("row", sequence=row)
            if recording.fps is not None:
                stream.set_time("time", duration=row / recording.fps)
            picture = rr.Image(frame)
            packed = picture if self.jpeg is None else picture.compress(jpeg_quality=self.jpeg)
            stream.log(self.camera, packed)
            waiting += frame.nbytes
            if waiting > _BUFFER:
                file.write(encoded.read() or b"")
                waiting = 0
        file.write(encoded.read() or b"")
        stream.disconnect()

    def _id(self, recording: EpisodeColumns) -> str:
        """Names a recording by what is in it: of several with one id a viewer shows but one."""
        known = sha256(f"{self!r} {json.dumps(provenance(recording), sort_keys=True)}".encode())
        for column in ("states", "actions", "rewards", "seeds", "latency"):
            known.update(np.asarray(getattr(recording, column)).tobytes())
        known.update(next(iter(recording.frames)).tobytes())
        return f"{recording.name}-{known.hexdigest()[:24]}"

    def _send_columns(self, stream: Any, recording: EpisodeColumns) -> None:
        rows = np.arange(len(recording.states))
        acting = rows[: len(recording)]
        if recording.states.size:
            _send(stream, recording, "state", rows, rr.Scalars, scalars=recording.states)
        actions = recording.actions.reshape(len(recording), -1)
        words = [str(action) for action in recording.actions]
        if actions.dtype.kind == "U":
            _send(stream, recording, "action", acting, rr.TextLog, text=words)
        elif actions.size:
            numbers = actions.astype(np.float64)
            _send(stream, recording, "action", acting, rr.Scalars, scalars=numbers)
        _send(stream, recording, "text", acting, rr.TextLog, text=list(recording.texts))
        _send(stream, recording, "seed", acting, rr.AnyValues, seed=recording.seeds)
        for name in ("rewards", "terminated", "truncated", "latency", "success"):
            values = np.asarray(getattr(recording, name), np.float64)
            known = np.flatnonzero(np.isfinite(values))
            if len(known):
                entity = name.removesuffix("s")
                _send(stream, recording, entity, known, rr.Scalars, scalars=values[known])


def _send(
    stream: Any, recording: EpisodeColumns, entity: str, rows: np.ndarray, kind: Any, **values: Any
) -> None:
    """Sends what one entity has at some rows, all at once."""
    times = [rr.TimeColumn("row", sequence=rows)]
    if recording.fps is not None:
        times.append(rr.TimeColumn("time", duration=rows / recording.fps))
    [(name, cells)] = values.items()
    width = cells.shape[1] if isinstance(cells, np.ndarray) and cells.ndim == 2 else None
    columns = kind.columns(**{name: cells if width is None else cells.reshape(-1)})
    stream.send_columns(
        entity, times, columns if width is None else columns.partition([width] * len(rows))
    )


_BUFFER = 2**25  # bytes of frames that wait to be written
