"""Episodes summed up: one in a line, many in figures."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from chronosim.episodes.place import Place, locate, named
from chronosim.episodes.reader import EpisodeReader
from chronosim.errors import InvalidEpisode

_LIVE = 60.0  # seconds since the last write


@dataclass(frozen=True, slots=True)
class EpisodeSummary:
    """An episode in a line.

    Attributes:
        name: Of its folder.
        seed: It was reset with; None if its log does not say.
        steps: Committed steps.
        end: `terminated`, `truncated`, `closed` (ended by its writer), `failed` or `unfinished`.
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


def summarize(reader: EpisodeReader) -> EpisodeSummary:
    """Sums an episode up; no frame is decoded."""
    reward = reader.column("reward") if reader.steps else np.zeros(0)
    seed, policy = reader.about.get("seed"), str(reader.about.get("policy", ""))
    latency = reader.column("latency") if reader.steps else np.zeros(0)
    return EpisodeSummary(
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
    if reader.failure is not None:
        return "failed"
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
    """Looks at an episode's files, or at those that an attempt left."""
    folder = path if path.name.startswith(".") and path.exists() else locate(path)
    known = [file.stat() for file in folder.rglob("*") if file.is_file()]
    newest = max((entry.st_mtime for entry in known), default=0.0)
    return Files(len(known), sum(entry.st_size for entry in known), time.time() - newest)


def _fps(reader: EpisodeReader) -> float | None:
    held = pace(reader.about)
    if held is None or not reader.steps:
        return None
    return (int(reader.column("between_length")[0]) + 1) / held


def summarize_dataset(readers: Sequence[EpisodeReader]) -> dict[str, Any]:
    """Sums a data set up, as JSON values: lengths, rewards, actions, who made it.

    Raises:
        InvalidEpisode: An episode cannot be read, or its actions are of another kind.
    """
    rows = [summarize(reader) for reader in readers]
    return {**figures(rows), **_contents(readers, rows), "action": _spread(all_actions(readers))}


def open_readable(paths: Iterable[Place]) -> tuple[list[EpisodeReader], list[str]]:
    """Opens the episodes that can be summed up together.

    Their records can be read, and their actions are of the first one's kind.

    Args:
        paths: Episodes.

    Returns:
        The readers, and a sentence about each episode that was left out.
    """
    readers: list[EpisodeReader] = []
    left: list[str] = []
    kinds: dict[tuple[bool, int], str] = {}
    for path in paths:
        try:
            reader = EpisodeReader(path)
            reader.observation(reader.steps)
            if reader.steps:
                kinds.setdefault(_action_kind(reader), reader.path.name)
                if len(kinds) > 1:
                    other, name = kinds.popitem()[0], next(iter(kinds.values()))
                    raise InvalidEpisode(f"its actions are {_told(other)}, unlike those of {name}")
            readers.append(reader)
        except InvalidEpisode as error:
            left.append(f"{named(path).name}: {error}")
    if not readers:
        raise InvalidEpisode(f"no episode can be read; {'; '.join(left)}")
    return readers, left


def figures(rows: Sequence[EpisodeSummary]) -> dict[str, Any]:
    """Gives the figures of many episodes as JSON values."""
    ends = [row.end for row in rows]
    return {
        "episodes": len(rows),
        "steps": sum(row.steps for row in rows),
        "ends": {end: ends.count(end) for end in sorted(set(ends))},
        "length": _spread_of([row.steps for row in rows]),
        "return": _spread_of([row.total for row in rows]),
        "reward": _spread_of([row.reward for row in rows if row.steps]),
        "unknown returns": sum(math.isnan(row.total) for row in rows),
    }


def _contents(readers: Sequence[EpisodeReader], rows: Sequence[EpisodeSummary]) -> dict[str, Any]:
    """Who made the episodes, and of how many frames of what size, over how much time."""
    sizes = Counter(" x ".join(map(str, reader.frame_size)) for reader in readers)
    between = sum(int(reader.column("between_length").sum()) for reader in readers if reader.steps)
    held = [pace(reader.about) for reader in readers]
    clocked = all(seconds is not None for seconds in held)
    return {
        "frames": sum(reader.steps + 1 for reader in readers) + between,
        "frame sizes": dict(sizes),
        "worlds": dict(Counter(row.world for row in rows)),
        "policies": dict(Counter(row.policy for row in rows if row.policy)),
        "synthetic": sum(reader.about.get("synthetic") is True for reader in readers),
        "minutes": sum(r.steps * (s or 0) for r, s in zip(readers, held, strict=True)) / 60
        if clocked
        else None,
    }


def all_actions(readers: Sequence[EpisodeReader]) -> np.ndarray:
    """All actions of some episodes: numbers (steps, n), or instructions (steps, 1).

    Raises:
        InvalidEpisode: Those of one are of another kind than those of the next.
    """
    columns = [reader.column("action") for reader in readers if reader.steps]
    flat = [column.reshape(len(column), -1) for column in columns]
    kinds = {_action_kind(reader) for reader in readers if reader.steps}
    if len(kinds) > 1:
        told = sorted(map(_told, kinds))
        raise InvalidEpisode(
            f"the actions of these episodes are of several kinds, {', '.join(told)}: "
            "they are no one data set; sum them up one by one, or leave those unlike the first out "
            "with skip_bad=true"
        )
    return np.concatenate(flat) if flat else np.zeros((0, 0))


def _action_kind(reader: EpisodeReader) -> tuple[bool, int]:
    """Whether actions are numbers, and how many of them make up one."""
    actions = reader.column("action")
    return actions.dtype.kind in "biuf", prod(actions.shape[1:])


def _told(kind: tuple[bool, int]) -> str:
    return f"{kind[1]} {'numbers' if kind[0] else 'words'}"


def _spread(actions: np.ndarray) -> dict[str, Any]:
    """The range of each number of the actions; or which instructions there are."""
    if not len(actions):
        return {}
    if actions.dtype.kind not in "biuf":
        words = Counter(str(word) for word in actions[:, 0])
        return {"instructions": len(words), "most frequent": dict(words.most_common(10))}
    numbers = actions.astype(float)
    return {
        "mean": numbers.mean(0).tolist(),
        "deviation": numbers.std(0).tolist(),
        "least": numbers.min(0).tolist(),
        "most": numbers.max(0).tolist(),
    }


def _spread_of(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    given = np.asarray(values, float)
    numbers = given[~np.isnan(given)] if not np.isnan(given).all() else given
    return {
        "mean": float(numbers.mean()),
        "least": float(numbers.min()),
        "median": float(np.median(numbers)),
        "most": float(numbers.max()),
    }
