"""How much of an action a probe tells from predicted frames, and how much from true ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from jaxtyping import UInt8

from chronosim.evaluation.following.bootstrap import Figure
from chronosim.evaluation.following.probe import Probe

__all__ = ["Recovery", "recover"]

_RESAMPLES = 500
_TELLING = 0.3  # what must be told from true frames, for its absence in predicted ones to mean much

Frames = UInt8[np.ndarray, "n height width 3"]


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a probe recovers, number by number.

    Attributes:
        kind: "R²" of numbers, "accuracy" of choices.
        names: Of the action's numbers.
        ceiling: From true frames that it never learned from: no model can show more.
        predicted: From predicted frames, with intervals over resampled groups.
        pairs: True pairs of frames it learned from.
    """

    kind: str
    names: tuple[str, ...]
    ceiling: tuple[float, ...]
    predicted: tuple[Figure, ...]
    pairs: int

    @property
    def tells(self) -> tuple[int, ...]:
        """Places of the numbers that the probe tells well from true frames."""
        return tuple(index for index, share in enumerate(self.ceiling) if share >= _TELLING)

    @property
    def lost(self) -> tuple[str, ...]:
        """The numbers that it tells well from true frames, and not at all from predicted ones."""
        return tuple(self.names[index] for index in self.tells if self.predicted[index].low <= 0)


def recover(
    probe: Probe,
    before: Frames,
    true: Frames,
    predicted: Frames,
    actions: Sequence[Any],
    *,
    groups: Sequence[int],
    names: Sequence[str] = (),
) -> Recovery:
    """Lets a probe tell actions from true and from predicted frames.

    Args:
        probe: It never learned from these frames.
        before: Frames before each action.
        true: What truly came of it.
        predicted: What the model made of it.
        actions: The actions.
        groups: What each belongs to, such as its moment; resampled as a whole.
        names: Of the action's numbers; none: numbered.
    """
    choices = isinstance(probe.space, gym.spaces.Discrete)
    ceiling = probe.recovered(before, true, actions)
    found = probe.recovered(before, predicted, actions)
    lows, highs = _interval(probe, before, predicted, actions, groups)
    if choices:
        known: tuple[str, ...] = ("choice",)
    elif len(names) == len(found):
        known = tuple(names)
    else:
        known = tuple(f"number {index + 1}" for index in range(len(found)))
    return Recovery(
        kind="accuracy" if choices else "R²",
        names=known,
        ceiling=tuple(map(float, ceiling)),
        predicted=tuple(Figure(*map(float, f)) for f in zip(found, lows, highs, strict=True)),
        pairs=probe.pairs,
    )


def _interval(
    probe: Probe,
    before: Frames,
    predicted: Frames,
    actions: Sequence[Any],
    groups: Sequence[int],
) -> tuple[np.ndarray, np.ndarray]:
    told, true = probe.read(before, predicted), np.asarray(actions)
    members = [np.flatnonzero(np.asarray(groups) == group) for group in dict.fromkeys(groups)]
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(_RESAMPLES):
        drawn = rng.integers(0, len(members), len(members))
        chosen = np.concatenate([members[index] for index in drawn])
        shares.append(probe.share(true[chosen], told[chosen]))
    low, high = np.percentile(np.stack(shares), (2.5, 97.5), axis=0)
    return low, high
