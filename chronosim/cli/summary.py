"""Episodes in one line each, and many of them summed up: a table, its JSON, and a picture."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chronosim.cli.terminal import table
from chronosim.episodes import EpisodeReader
from chronosim.episodes.place import Place, locate
from chronosim.errors import EpisodeWriteError
from chronosim.frames import write_frame
from chronosim.pictures.chart import Picture, beside, heading, histogram, stack
from chronosim.pictures.panels import Panel, filmstrip
from chronosim.pictures.video import frame_rate

__all__ = [
    "Facts",
    "Files",
    "draw_summary",
    "ending",
    "facts",
    "files",
    "pace",
    "print_episodes",
    "summed_up",
    "world_name",
    "write_report",
    "write_summary",
]

_SHOWN = 28  # episodes on the sheet


def print_episodes(rows: Sequence[Facts], most: int | None = None) -> None:
    """Prints a line for each episode, the middle ones left out where there are too many."""
    head = ("episode", "seed", "steps", "end", "reward", "return", "s/step")
    cells = [
        (row.name, _plain(row.seed), row.steps, row.end, row.reward, row.total, _each(row))
        for row in rows
    ]
    print(table(head, cells, most=most))


def summed_up(rows: Sequence[Facts]) -> dict[str, Any]:
    """Gives the figures of many episodes as JSON values."""
    ends = [row.end for row in rows]
    return {
        "episodes": len(rows),
        "steps": sum(row.steps for row in rows),
        "ends": {end: ends.count(end) for end in sorted(set(ends))},
        "length": _spread([row.steps for row in rows]),
        "return": _spread([row.total for row in rows]),
        "reward": _spread([row.reward for row in rows if row.steps]),
    }


def write_summary(rows: Sequence[Facts], path: Path) -> None:
    """Writes the figures, and those of each episode, as JSON.

    Raises:
        EpisodeWriteError: The disk refuses.
    """
    write_report({**summed_up(rows), "each": [asdict(row) for row in rows]}, path)


def write_report(report: Mapping[str, Any], path: Path) -> None:
    """Writes figures as JSON, null for those that are not finite.

    Raises:
        EpisodeWriteError: The disk refuses.
    """
    text = json.dumps(_json(report), indent=2, allow_nan=False) + "\n"
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise EpisodeWriteError(f"the summary {path} could not be written: {error}") from error


def draw_summary(
    rows: Sequence[Facts],
    paths: Sequence[Place],
    words: Sequence[str],
    path: Path,
    more: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Draws what came of the episodes: returns, lengths, and how some of them ended.

    Args:
        rows: The episodes' facts.
        paths: The same episodes.
        words: Lines over the picture.
        path: Where to; ends in .png.
        more: Other numbers to draw the spread of, by their titles.

    Raises:
        EpisodeWriteError: The disk refuses.
    """
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(_SHOWN, len(rows))).astype(int))
    sheet = _last_frames([rows[index] for index in chosen], [paths[index] for index in chosen])
    numbers: dict[str, Any] = {
        "return": [row.total for row in rows],
        "steps": [row.steps for row in rows],
        **(more or {}),
    }
    half = max(420, sheet.shape[1] // 2)
    drawn = [histogram(values, title, width=half) for title, values in numbers.items()]
    charts = stack([beside(drawn[index : index + 2]) for index in range(0, len(drawn), 2)])
    shown = f"how {'they' if len(chosen) == len(rows) else f'{len(chosen)} of them'} ended"
    over = heading(words, charts.shape[1])
    write_frame(path, stack([over, charts, heading([shown], charts.shape[1]), sheet]))


def _last_frames(rows: Sequence[Facts], paths: Sequence[Place]) -> Picture:
    panels = [
        Panel(
            EpisodeReader(path).observation(row.steps).frame,
            f"{row.name} · {row.steps} steps · {row.end}",
            f"return {row.total:.2f}",
        )
        for row, path in zip(rows, paths, strict=True)
    ]
    return filmstrip(panels, columns=min(7, len(panels)))


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    numbers = np.asarray(values, float)
    return {
        "mean": float(numbers.mean()),
        "least": float(numbers.min()),
        "median": float(np.median(numbers)),
        "most": float(numbers.max()),
    }


def _each(row: Facts) -> float:
    return row.seconds / row.steps if row.steps else float("nan")


def _plain(seed: int | None) -> str | None:
    return None if seed is None else str(seed)


def _json(value: Any) -> Any:
    """The same with null for what JSON has no number for."""
    if isinstance(value, Mapping):
        return {key: _json(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_json(one) for one in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


_LIVE = 60.0  # seconds since the last write


@dataclass(frozen=True, slots=True)
class Facts:
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
    """Looks at an episode's files."""
    known = [file.stat() for file in locate(path).rglob("*") if file.is_file()]
    newest = max((entry.st_mtime for entry in known), default=0.0)
    return Files(len(known), sum(entry.st_size for entry in known), time.time() - newest)


def _fps(reader: EpisodeReader) -> float | None:
    held = pace(reader.about)
    if held is None or not reader.steps:
        return None
    return float(frame_rate(held, int(reader.column("between_length")[0]) + 1))
