"""Rerun recordings, one `.rrd` for each episode, to look at in Rerun's viewer."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chronosim.errors import InvalidConfig, MissingDependency
from chronosim.formats.columns import CONTENTS, EXACT, EpisodeColumns
from chronosim.formats.exporting import provenance

try:
    import rerun as rr
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
        return CONTENTS - (set() if self.jpeg is None else {EXACT})

    def write(self, recordings: Iterable[EpisodeColumns], folder: Path) -> None:
        """Writes recordings into an empty folder."""
        for recording in recordings:
            stream = rr.RecordingStream("chronosim", recording_id=recording.name)
            rr.set_log_time_enabled(False, recording=stream)  # the same file whenever it is made
            stream.save(folder / f"{recording.name}.rrd")
            stream.send_recording_name(recording.name)
            said = json.dumps(provenance(recording), ensure_ascii=False)
            stream.send_property("chronosim", rr.AnyValues(about=said))
            self._log(stream, recording)
            stream.disconnect()

    def _log(self, stream: Any, recording: EpisodeColumns) -> None:
        for row, frame in enumerate(recording.frames):
            stream.set_time("row", sequence=row)
            if recording.fps is not None:
                stream.set_time("time", duration=row / recording.fps)
            picture = rr.Image(frame)
            packed = picture if self.jpeg is None else picture.compress(jpeg_quality=self.jpeg)
            stream.log(self.camera, packed)
            if recording.states.size:
                stream.log("state", rr.Scalars(recording.states[row]))
            if row < len(recording):
                self._log_row(stream, recording, row)

    def _log_row(self, stream: Any, recording: EpisodeColumns, row: int) -> None:
        action = recording.actions[row]
        if recording.actions.dtype.kind == "U":
            stream.log("action", rr.TextLog(str(action)))
        else:
            stream.log("action", rr.Scalars(np.asarray(action, np.float64).reshape(-1)))
        stream.log("text", rr.TextLog(recording.texts[row]))
        stream.log("seed", rr.AnyValues(seed=int(recording.seeds[row])))
        for name in ("rewards", "terminated", "truncated", "latency"):
            value = float(getattr(recording, name)[row])
            if np.isfinite(value):
                stream.log(name.removesuffix("s"), rr.Scalars([value]))
