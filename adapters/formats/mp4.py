"""An MP4 for each episode, and beside it a JSON file with all the rest."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chronosim.errors import InvalidEpisode
from chronosim.formats.clips import encode
from chronosim.formats.columns import CONTENTS, EXACT, SUCCESS, EpisodeColumns
from chronosim.formats.exporting import provenance


@dataclass(frozen=True, slots=True)
class Mp4Exporter:
    """`<episode>.mp4` with every frame, `<episode>.json` with `fps`, `rows`, `states` and `about`.

    `chronosim episodes import` reads it back as a folder.

    Attributes:
        lossless: Whether the video keeps every pixel, in RGB; browsers do not play it.
        crf: Constant rate factor otherwise, 0 to 51; less is better.
        fps: Frames a second of the video where the episodes know no clock.
    """

    lossless: bool = False
    crf: int = 18
    fps: float = 10.0

    @property
    def holds(self) -> frozenset[str]:
        """What it has a place for."""
        return (CONTENTS | {SUCCESS}) - (set() if self.lossless else {EXACT})

    def write(self, recordings: Iterable[EpisodeColumns], folder: Path) -> None:
        """Writes recordings into an empty folder.

        Raises:
            InvalidFrame: A side of the frames is odd, which only `lossless` can hold.
            InvalidEpisode: What JSON has no place for: states that are not finite, an infinite
                reward, or either in what is said about the episode.
        """
        for recording in recordings:
            video = folder / f"{recording.name}.mp4"
            fps = recording.fps or self.fps
            text = _text(recording, {"video": video.name, **_columns(recording)})
            encode(recording.frames, video, fps, lossless=self.lossless, crf=self.crf)
            video.with_suffix(".json").write_text(text, encoding="utf-8")


def _text(recording: EpisodeColumns, columns: dict[str, Any]) -> str:
    sidecar = {**provenance(recording), **columns}
    try:
        return json.dumps(sidecar, indent=1, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        bad = {
            "states": not np.isfinite(recording.states).all(),
            "rewards": np.isinf(recording.rewards).any(),
        }
        named = [name for name, it_is in bad.items() if it_is]
        raise InvalidEpisode(
            f"{recording.name} has numbers in its {' and '.join(named) or 'about'} that are not "
            "finite, which JSON has no place for"
        ) from error


def _columns(recording: EpisodeColumns) -> dict[str, Any]:
    rows = [
        {
            "action": recording.actions[row].tolist(),
            "text": recording.texts[row],
            "reward": None if np.isnan(recording.rewards[row]) else float(recording.rewards[row]),
            "terminated": bool(recording.terminated[row]),
            "truncated": bool(recording.truncated[row]),
            "seed": int(recording.seeds[row]),
            "latency": _number(recording.latency[row]),
            "success": _number(recording.success[row]),
        }
        for row in range(len(recording))
    ]
    kind = recording.actions.dtype
    return {
        "action_dtype": "string" if kind.kind == "U" else kind.name,
        "states": recording.states.tolist(),
        "rows": rows,
    }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
