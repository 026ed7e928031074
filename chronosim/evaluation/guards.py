"""Calibrates a drift guard on a data set's true frames, and tells how often it errs."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageFilter

from chronosim.envs.guard import DriftGuard
from chronosim.episodes import EpisodeReader, list_episodes
from chronosim.errors import InvalidConfig
from chronosim.evaluation.intervals import wilson_interval
from chronosim.evaluation.predictions import Autoencoding, see_through
from chronosim.evaluation.report.section import Table
from chronosim.files import write_text
from chronosim.models.loading.load import load
from chronosim.progress import Progress, listening, watch
from chronosim.types import Frame

_FEWEST = 4  # episodes: half to learn from, a quarter for the limit, a quarter to be judged on
_STRANGERS = 20  # episodes of another world
_EVERY = 8  # of the frames, the one that is looked at as it is and through a model

Film = UInt8[np.ndarray, "_ _ _ 3"]


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """A guard, and how often it errs on episodes that it never saw.

    Attributes:
        guard: What tells a lost frame.
        alarms: What it called lost of true episodes, of true frames, and of broken ones.
        judged: Episodes that it was judged on.
    """

    guard: DriftGuard
    alarms: tuple[Alarms, ...]
    judged: int

    @property
    def table(self) -> Table:
        """A row for each kind of frame."""
        rows = tuple(
            (
                each.kind,
                f"{each.alarms} of {each.of}",
                f"{each.share:.1%} ({each.interval[0]:.1%} to {each.interval[1]:.1%})",
            )
            for each in self.alarms
        )
        caption = (
            f"What was called lost, of {self.judged} episodes that the guard never saw. Alarms on "
            "what is true are false; one cuts an episode, and those of one episode come together, "
            "so that the interval over frames is too narrow. What is missing to 100% below them "
            "are misses."
        )
        return Table(("what", "called lost", "share (95%)"), rows, caption)

    def values(self) -> dict[str, Any]:
        """Gives every figure as JSON values."""
        alarms = [
            {"kind": each.kind, "alarms": each.alarms, "of": each.of, "share": each.share}
            for each in self.alarms
        ]
        return {"limit": self.guard.limit, "about": self.guard.about, "alarms": alarms}

    def save(self, path: str | Path) -> None:
        """Writes the guard as an .npz, and its figures into a .json beside it.

        Raises:
            EpisodeWriteError: The disk refuses.
        """
        self.guard.save(path)
        write_text(Path(path).with_suffix(".json"), json.dumps(self.values(), indent=2) + "\n")


def calibrate_guard(
    dataset: str | Path,
    *,
    episodes: int = 400,
    through: str | Autoencoding | None = None,
    strangers: str | Path | None = None,
    false_alarms: float = 0.01,
    progress: Progress | None = None,
) -> Calibration:
    """Makes a drift guard of a data set's true episodes.

    It learns from half of them what frames of this world look like, sets its limit on a quarter,
    and is judged on the last quarter, as it is and broken on purpose.

    Args:
        dataset: Folder of true episodes.
        episodes: How many of them at most, evenly spread.
        through: A model, or its name: what its autoencoder makes of true frames is true as well.
        strangers: Folder of episodes of another world, whose frames should be called lost.
        false_alarms: In how large a share of the episodes a true frame may be called lost, 0 to 1.
        progress: Called with what is being done, how many of it are done, and of how many.

    Raises:
        EpisodeNotFound: There is no data set.
        InvalidConfig: It has too few episodes, the share is none, or the model has no autoencoder.
    """
    if not 0 < false_alarms < 1:
        raise InvalidConfig(f"false_alarms must lie between 0 and 1, not {false_alarms}")
    model = load(through) if isinstance(through, str) else through
    name = through if isinstance(through, str) else type(model).__name__
    if model is not None and not isinstance(model, Autoencoding):
        raise InvalidConfig(f"{name} has no autoencoder to see frames through: leave through= out")
    with listening(progress):
        learnt, held_out, judged = _split(_read(dataset, episodes), false_alarms)
        about = (
            f"true frames of {dataset}: {len(learnt)} episodes to learn from, {len(held_out)} for "
            f"the limit ({false_alarms:.1%} of them)"
        )
        if model is not None:
            learnt, held_out = _with_shown(model, learnt), _with_shown(model, held_out)
            about += f", as they are and through {name}'s autoencoder"
        guard = DriftGuard.fit(learnt, held_out, false_alarms=false_alarms, about=about)
        foreign = [] if strangers is None else _read(strangers, _STRANGERS)
    lost = [frame for film in foreign for frame in film if frame.shape[:2] == guard.size]
    alarms = (_count_cut(guard, judged), *count_alarms(guard, judged, lost))
    return Calibration(guard, alarms, len(judged))


def _split(films: list[Film], false_alarms: float) -> tuple[list[Film], ...]:
    """Those to learn from, those that set the limit, and those that it is judged on."""
    quarter, wanted = len(films) // 4, math.ceil(1 / false_alarms)
    if quarter < wanted:
        raise InvalidConfig(
            f"{len(films)} episodes are too few: a quarter of them sets the limit, and false "
            f"alarms in {false_alarms:.1%} of those can be shown from {4 * wanted} episodes on; "
            "give more, or allow more with false_alarms="
        )
    return films[: -2 * quarter], films[-2 * quarter : -quarter], films[-quarter:]


def _read(path: str | Path, most: int) -> list[Film]:
    episodes = [reader for reader in map(EpisodeReader, list_episodes(path)) if reader.steps]
    if len(episodes) < _FEWEST:
        raise InvalidConfig(
            f"a guard needs at least {_FEWEST} episodes of {path}, not {len(episodes)}"
        )
    spread = np.linspace(0, len(episodes) - 1, min(most, len(episodes))).round().astype(int)
    return [
        np.asarray(episodes[index].frames[:])
        for index in watch(spread, f"reading {path}", len(spread))
    ]


def _with_shown(model: Autoencoding, films: Sequence[Film]) -> list[Film]:
    """Some frames of each episode, and as many that the model's autoencoder makes of them."""
    found = []
    for film in watch(films, "autoencoding", len(films)):
        pairs = zip(film[:-1:_EVERY], film[1::_EVERY], strict=False)
        found.append(
            np.stack(
                [f for before, after in pairs for f in (after, see_through(model, before, after))]
            )
        )
    return found


@dataclass(frozen=True, slots=True)
class Alarms:
    """How often a guard called a frame, or an episode, lost.

    Attributes:
        kind: What was looked at.
        alarms: How many were called lost.
        of: Of how many.
    """

    kind: str
    alarms: int
    of: int

    @property
    def share(self) -> float:
        """0 to 1."""
        return self.alarms / self.of

    @property
    def interval(self) -> tuple[float, float]:
        """The share's 95% Wilson interval, as if all were independent."""
        return wilson_interval(self.alarms, self.of)


def count_alarms(
    guard: DriftGuard,
    episodes: Sequence[Film],
    strangers: Sequence[Frame] = (),
    *,
    broken: int = 100,
) -> list[Alarms]:
    """Counts alarms on true frames, and on the same ones broken in each way.

    Args:
        guard: What is judged.
        episodes: True frames that it was not calibrated on, at least one episode.
        strangers: Frames of another world.
        broken: How many of the true frames are broken, evenly spread.

    Returns:
        True frames first (false alarms); of the others, what is no alarm is a miss.
    """
    true = [frame for episode in episodes for frame in episode]
    spread = np.linspace(0, len(true) - 1, min(broken, len(true))).round().astype(int)
    found = [_count(guard, "true frames", true)]
    for kind, spoil in BREAKS.items():
        rng = np.random.default_rng(0)
        found.append(_count(guard, kind, [spoil(true[index], rng) for index in spread]))
    return [*found, *([_count(guard, "another world", strangers)] if len(strangers) else [])]


def _count_cut(guard: DriftGuard, episodes: Sequence[Film]) -> Alarms:
    """Counts the true episodes that a guard would cut: those with an alarm on any frame."""
    cut = sum(any(guard(frame) is not None for frame in episode) for episode in episodes)
    return Alarms("true episodes, cut somewhere", cut, len(episodes))


def _count(guard: DriftGuard, kind: str, frames: Sequence[Frame]) -> Alarms:
    return Alarms(kind, sum(guard(frame) is not None for frame in frames), len(frames))


def _noise(sigma: float) -> Callable[[Frame, np.random.Generator], Frame]:
    return lambda frame, rng: _clipped(frame + rng.normal(0, sigma, frame.shape))


def _shift(*colour: int) -> Callable[[Frame, np.random.Generator], Frame]:
    return lambda frame, rng: _clipped(frame + np.array(colour))


def _blur(sigma: float) -> Callable[[Frame, np.random.Generator], Frame]:
    blurred = ImageFilter.GaussianBlur(sigma)
    return lambda frame, rng: np.asarray(Image.fromarray(frame).filter(blurred))


def _blank(frame: Frame, rng: np.random.Generator) -> Frame:
    return np.broadcast_to(frame.mean((0, 1)).astype(np.uint8), frame.shape).copy()


def _clipped(values: np.ndarray) -> Frame:
    return values.clip(0, 255).astype(np.uint8)


BREAKS: Mapping[str, Callable[[Frame, np.random.Generator], Frame]] = {
    "noise of 5 grey levels": _noise(5),
    "noise of 20 grey levels": _noise(20),
    "red up by 8": _shift(8, 0, 0),
    "red up by 16": _shift(16, 0, 0),
    "red up by 32, green down by 16": _shift(32, -16, 0),
    "a fifth darker": lambda frame, rng: _clipped(frame * 0.8),
    "blur of 1 pixel": _blur(1),
    "blur of 2 pixels": _blur(2),
    "blank": _blank,
    "upside down": lambda frame, rng: frame[::-1].copy(),
}
"""Ways to break a frame, by what is done to it."""
