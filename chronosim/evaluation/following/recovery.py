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
        chance: What who sees nothing reaches: 0 of R², and of choices the commonest one's share.
    """

    kind: str
    names: tuple[str, ...]
    ceiling: tuple[float, ...]
    predicted: tuple[Figure, ...]
    pairs: int
    chance: float = 0.0

    @property
    def tells(self) -> tuple[int, ...]:
        """Places of the numbers that the probe tells well from true frames."""
        least = self.chance + _TELLING * (1 - self.chance)
        return tuple(index for index, share in enumerate(self.ceiling) if share >= least)

    @property
    def lost(self) -> tuple[str, ...]:
        """The numbers that it tells well from true frames, and not from predicted ones.

        Of these it tells less than half as much, and perhaps no more than chance: where few were
        judged, an interval alone reaches down to chance for the truth itself.
        """
        return tuple(self.names[index] for index in self.tells if self._is_lost(index))

    def _is_lost(self, index: int) -> bool:
        found = self.predicted[index]
        half = (self.chance + self.ceiling[index]) / 2
        return found.low <= self.chance and found.value < half


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
        chance=_commonest(actions) if choices else 0.0,
    )


def _commonest(choices: Sequence[Any]) -> float:
    """The share of the choice that was made most often."""
    _, counts = np.unique(np.asarray(choices), return_counts=True)
    return float(counts.max() / counts.sum())


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
