"""What one line can say of an episode."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from chronosim.episodes import EpisodeReader
from chronosim.episodes.place import Place
from chronosim.episodes.video import frame_rate

__all__ = ["Facts", "Files", "ending", "facts", "files", "pace", "world_name"]

_LIVE = 60.0  # seconds since the last write


@dataclass(frozen=True, slots=True)
class Facts:
    """An episode in a line.

    Attributes:
        name: Of its folder.
        seed: It was reset with; None if its log does not say.
        steps: Committed steps.
        end: `terminated`, `truncated`, `closed` (ended by its writer), or `unfinished`.
        world: The model, or the simulator, that made the frames.
        policy: What acted; "" if its log does not say.
        reward: Mean of the steps; NaN without any.
        total: The return: their sum.
        fps: Frames a second in a trajectory; None where the world has no clock.
        seconds: The world took to answer all steps; NaN if unknown.
    """

    name: str
    seed: int | None
    steps: int
    end: str
    world: str
    policy: str
    reward: float
    total: float
    fps: float | None
    seconds: float


def facts(reader: EpisodeReader) -> Facts:
    """Reads an episode's facts; no frame is decoded."""
    reward = reader.column("reward") if reader.steps else np.zeros(0)
    seed, policy = reader.about.get("seed"), str(reader.about.get("policy", ""))
    latency = reader.column("latency") if reader.steps else np.zeros(0)
    return Facts(
        name=reader.path.name,
        seed=seed if isinstance(seed, int) else None,
        steps=reader.steps,
        end=ending(reader),
        world=world_name(reader.about),
        policy=policy.partition("(")[0],
        reward=float(reward.mean()) if reward.size else float("nan"),
        total=float(reward.sum()),
        fps=_fps(reader),
        seconds=float(latency.sum()),
    )


def ending(reader: EpisodeReader) -> str:
    """Says in one word how an episode ended."""
    if reader.steps and bool(reader.column("terminated")[-1]):
        return "terminated"
    if reader.steps and bool(reader.column("truncated")[-1]):
        return "truncated"
    return "closed" if reader.finished else "unfinished"


def pace(about: Mapping[str, Any]) -> float | None:
    """How many seconds an action is held, as the log says; None if it does not."""
    value = about.get("seconds_per_step")
    return float(value) if isinstance(value, int | float) and value > 0 else None


def world_name(about: Mapping[str, Any]) -> str:
    """The model that predicted the frames, or what else they come from."""
    model = about.get("model")
    if isinstance(model, Mapping) and "name" in model:
        return str(model["name"])
    return str(about.get("source", ""))


@dataclass(frozen=True, slots=True)
class Files:
    """An episode's files.

    Attributes:
        count: How many.
        size: Of them all, bytes.
        age: Seconds since one was written to.
    """

    count: int
    size: int
    age: float

    @property
    def live(self) -> bool:
        """Whether an unfinished episode is still being written, as far as its age tells."""
        return self.age < _LIVE


def files(path: Place) -> Files:
    """Looks at an episode's files."""
    known = [file.stat() for file in path.rglob("*") if file.is_file()]
    newest = max((entry.st_mtime for entry in known), default=0.0)
    return Files(len(known), sum(entry.st_size for entry in known), time.time() - newest)


def _fps(reader: EpisodeReader) -> float | None:
    held = pace(reader.about)
    if held is None or not reader.steps:
        return None
    return float(frame_rate(held, int(reader.column("between_length")[0]) + 1))
