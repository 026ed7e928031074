"""How often a drift guard errs: on true frames, and on frames broken on purpose."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageFilter

from chronosim.envs.guard import DriftGuard
from chronosim.evaluation.predictions import wilson_interval
from chronosim.types import Frame

__all__ = ["BREAKS", "Alarms", "count_alarms", "count_cut"]

Frames = UInt8[np.ndarray, "_ height width 3"]


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
    episodes: Sequence[Frames],
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


def count_cut(guard: DriftGuard, episodes: Sequence[Frames]) -> Alarms:
    """Counts the true episodes that a guard would cut: those with an alarm on any frame.

    Args:
        guard: What is judged; its limit was set by such episodes.
        episodes: True frames that it was not calibrated on.
    """
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
