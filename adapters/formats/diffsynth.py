"""Clips and `metadata.csv`, as DiffSynth-Studio and ChronoEdit's trainer read them.

Source of the layout: ChronoEdit's `scripts/train_diffsynth.py` and its example data set: a CSV of
`video` and `prompt`, each video an MP4 beside it.
"""

from __future__ import annotations

import csv
import json
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from chronosim.errors import InvalidEpisode
from chronosim.formats.clips import encode
from chronosim.formats.columns import EXACT, LAST, EpisodeColumns
from chronosim.formats.exporting import provenance
from chronosim.types import Frame

_COLUMNS = ("key", "video", "prompt")


@dataclass(frozen=True, slots=True)
class DiffSynthExporter:
    """One clip and one line for each step: what was seen, then its frames, and its words.

    Rows that are steps give clips of two frames, before and after, which ChronoEdit's trainer asks
    for; rows that are frames give the whole trajectory. `provenance.json` says what made them.

    Attributes:
        lossless: Whether clips keep every pixel, in RGB.
        crf: Constant rate factor otherwise, 0 to 51; less is better.
        fps: Frames a second of the clips; None: as the world's clock, or 1 without one.
    """

    lossless: bool = False
    crf: int = 12
    fps: float | None = None

    @property
    def holds(self) -> set[str]:
        """What it has a place for."""
        held = {"frames", LAST, "texts", "where it comes from"}
        return held | ({EXACT} if self.lossless else set())

    def write(self, recordings: Iterable[EpisodeColumns], folder: Path) -> None:
        """Writes recordings into an empty folder.

        Raises:
            InvalidEpisode: A step has no words, so there is nothing to train.
            InvalidFrame: A side of the frames is odd, which only `lossless` can hold.
        """
        said = []
        with (folder / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, _COLUMNS)
            table.writeheader()
            (folder / "videos").mkdir()
            for recording in recordings:
                for index, clip in enumerate(_clips(recording)):
                    text = recording.texts[index * recording.rows_per_step]
                    if not text.strip():
                        raise InvalidEpisode(f"step {index} of {recording.name} has no words")
                    key = f"{recording.name}-{index:06d}"
                    video = f"videos/{key}.mp4"
                    fps = self.fps or recording.fps or 1.0
                    encode(clip, folder / video, fps, lossless=self.lossless, crf=self.crf)
                    table.writerow({"key": key, "video": video, "prompt": text})
                said.append(provenance(recording))
        path = folder / "provenance.json"
        path.write_text(json.dumps(said, indent=1, ensure_ascii=False), encoding="utf-8")


def _clips(recording: EpisodeColumns) -> Iterator[list[Frame]]:
    """The frames of each step, from the observed one to its outcome."""
    rows = recording.rows_per_step
    clip: deque[Frame] = deque(maxlen=rows + 1)
    for row, frame in enumerate(recording.frames):
        clip.append(frame)
        if row and row % rows == 0:
            yield list(clip)
