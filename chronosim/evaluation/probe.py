"""An inverse-dynamics probe: how much of an action can be told from true and predicted frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from jaxtyping import Float, Float32, UInt8
from torch.nn import functional as F

from chronosim.errors import InvalidConfig
from chronosim.evaluation.intervals import Interval
from chronosim.evaluation.retrieval import Answers
from chronosim.evaluation.truth import Moment, Recording, Reference, draw_recordings, outcomes_only
from chronosim.policies.regression import FrameRegressor, fit, forecast
from chronosim.progress import teller, watch
from chronosim.types import Frames


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """Tells actions from frames before and after, as it learned from true ones.

    Attributes:
        network: Two frames in; numbers, or the odds of choices, out.
        space: The actions that there are.
        mean: Of each number of the actions learned from, float32 (n,); empty for choices.
        spread: Their deviations.
        pairs: How many pairs of frames it learned from.
    """

    network: FrameRegressor
    space: gym.Space[Any]
    mean: Float32[np.ndarray, " n"]
    spread: Float32[np.ndarray, " n"]
    pairs: int

    def read(self, before: Frames, after: Frames) -> np.ndarray:
        """Tells the actions: float32 (pairs, n), or of choices their ids, int64 (pairs,)."""
        told = forecast(self.network, _stack(before, after), _no_vectors(len(before)))
        if isinstance(self.space, gym.spaces.Discrete):
            return told.argmax(axis=1) + int(self.space.start)
        return told * self.spread + self.mean

    def recovered(
        self, before: Frames, after: Frames, actions: Sequence[Any]
    ) -> Float[np.ndarray, " figures"]:
        """How much of the actions it tells from frames: R² of each number, or a share of choices.

        R² is 1 minus the squared error over that of the mean of these actions: 1 is all, 0 is
        nothing, below 0 is worse than nothing.
        """
        return self.share(np.asarray(actions), self.read(before, after))

    def share(self, true: np.ndarray, told: np.ndarray) -> Float[np.ndarray, " figures"]:
        """The same from what was done and what was told."""
        if isinstance(self.space, gym.spaces.Discrete):
            return np.array([np.mean(told == true)])
        return _r_squared(true.astype(np.float64), told.astype(np.float64))


def probes_for(space: gym.Space[Any]) -> bool:
    """Whether there is a probe for actions: for numbers and choices, not for words."""
    flat = isinstance(space, gym.spaces.Box) and len(space.shape) == 1
    return flat or isinstance(space, gym.spaces.Discrete)


def learn_probe(
    before: Frames,
    after: Frames,
    actions: Sequence[Any],
    *,
    space: gym.Space[Any],
    width: int = 24,
    epochs: int = 16,
    seed: int = 0,
) -> Probe:
    """Learns a probe from true frames; some 1,000 pairs take about half a minute on a CPU.

    Args:
        before: Frames before each action.
        after: Frames after it.
        actions: What was done.
        space: The actions that there are: vectors, or choices.
        width: Channels of the network's first layer.
        epochs: Passes over the pairs.
        seed: Of the first weights and the order of the pairs.

    Raises:
        InvalidConfig: There is no probe for such actions.
    """
    if not probes_for(space):
        raise InvalidConfig(f"a probe tells numbers or choices from frames, not {space}")
    choices = isinstance(space, gym.spaces.Discrete)
    none = np.zeros(0, np.float32)
    if isinstance(space, gym.spaces.Discrete):
        targets = np.asarray(actions, np.int64) - int(space.start)
        outputs, mean, spread = int(space.n), none, none
    else:
        numbers = np.asarray(actions, np.float32)
        mean, spread = numbers.mean(axis=0), numbers.std(axis=0) + np.float32(1e-6)
        targets, outputs = (numbers - mean) / spread, numbers.shape[1]
    network = FrameRegressor(9, 0, outputs, width=width, seed=seed)
    fit(
        network,
        _stack(before, after),
        _no_vectors(len(before)),
        targets,
        epochs=epochs,
        seed=seed,
        loss=F.cross_entropy if choices else F.mse_loss,
        progress=teller("learning the probe", epochs),
    )
    return Probe(network, space, mean, spread, len(before))


def _r_squared(
    true: Float[np.ndarray, "n size"], told: Float[np.ndarray, "n size"]
) -> Float[np.ndarray, " size"]:
    """R² of each number; 0 where a number never changes."""
    spread = ((true - true.mean(axis=0)) ** 2).sum(axis=0)
    error = ((true - told) ** 2).sum(axis=0)
    return np.asarray(np.where(spread > 1e-12, 1 - error / np.where(spread > 0, spread, 1.0), 0.0))


def _stack(before: Frames, after: Frames) -> UInt8[np.ndarray, "n height width 9"]:
    """Both, and half their difference around grey: what moves is what tells the action."""
    moved = (after.astype(np.int16) - before) // 2 + 128
    return np.concatenate([before, after, moved.astype(np.uint8)], axis=-1)


def _no_vectors(count: int) -> Float32[np.ndarray, "n 0"]:
    return np.zeros((count, 0), np.float32)


_STEPS = 25  # held actions of a recording
_FOLLOWED = 0.8  # of what true frames tell, from which on predictions follow a number


def probe_moments(
    moments: Sequence[Moment],
    answers: Answers,
    *,
    reference: Reference,
    names: Sequence[str],
    episodes: int,
    first_seed: int,
    workers: int,
) -> dict[str, Recovery]:
    """Learns from true frames, and tells the actions at moments from true and predicted ones.

    Args:
        moments: What is judged.
        answers: The model's, at these moments.
        reference: Where the moments come from, and other episodes are recorded.
        names: Of the action's numbers.
        episodes: Recordings to learn from, of 25 held actions each.
        first_seed: Of the recordings.
        workers: Processes that record.

    Returns:
        What is recovered, by what was looked at: whole frames and, where a region is left out,
        frames without it. Instruments may show the action itself, and be all that a probe reads.
    """
    drawn = draw_recordings(
        episodes,
        reference=outcomes_only(reference),
        steps=_STEPS,
        first_seed=first_seed,
        workers=workers,
    )
    before, after, done = pairs_of(list(watch(drawn, "recording for the probe", episodes)))
    number, space = answers.own.shape[1], reference.prompter.action_space
    shown = [
        np.repeat(np.stack([moment.observation.frame for moment in moments]), number, axis=0),
        np.concatenate([moment.outcomes for moment in moments]),
        np.concatenate(list(answers.own)),
    ]
    actions = [action for moment in moments for action in moment.actions]
    groups = [index for index in range(len(moments)) for _ in range(number)]
    found = {
        "whole frames": learn_and_recover(
            (before, after, done), shown, actions, space, groups, names
        )
    }
    if (region := reference.left_out) is not None:
        pairs, cut = (region.cut(before), region.cut(after), done), map(region.cut, shown)
        found[f"no {region.name}"] = learn_and_recover(
            pairs, list(cut), actions, space, groups, names
        )
    return found


def pairs_of(recordings: Sequence[Recording]) -> tuple[np.ndarray, np.ndarray, list[Any]]:
    """Gives the frames before and after each action of recordings, and the actions."""
    before = [o.frame for recording in recordings for o in recording.observations[:-1]]
    after = [o.frame for recording in recordings for o in recording.observations[1:]]
    actions = [action for recording in recordings for action in recording.actions]
    return np.stack(before), np.stack(after), actions


def learn_and_recover(
    pairs: tuple[np.ndarray, np.ndarray, list[Any]],
    shown: Sequence[Frames],
    actions: Sequence[Any],
    space: gym.Space[Any],
    groups: Sequence[int],
    names: Sequence[str],
) -> Recovery:
    """Learns from pairs of true frames, and tells actions from those before, the true, predicted.

    Args:
        pairs: True frames before and after, and the actions between, as `pairs_of` gives them.
        shown: Frames before each action, what truly came of it, and what was predicted.
        actions: Those actions.
        space: The actions that there are.
        groups: As of `recover`.
        names: As of `recover`.
    """
    probe = learn_probe(*pairs, space=space)
    before, true, predicted = shown
    return recover(probe, before, true, predicted, actions, groups=groups, names=names)


_RESAMPLES = 500
_TELLING = 0.3  # what must be told from true frames, for its absence in predicted ones to mean much


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
    predicted: tuple[Interval, ...]
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

    @property
    def of_ceiling(self) -> tuple[float | None, ...]:
        """How much of what true frames tell predicted ones tell; None where those tell too little.

        1: as much, 0: no more than chance.
        """
        return tuple(
            (found.value - self.chance) / (self.ceiling[index] - self.chance)
            if index in self.tells
            else None
            for index, found in enumerate(self.predicted)
        )

    @property
    def verdicts(self) -> tuple[str, ...]:
        """Of each number, whether predictions follow it."""
        found = []
        for name, share in zip(self.names, self.of_ceiling, strict=True):
            if share is None:
                found.append("cannot be told")
            elif name in self.lost:
                found.append("ignored")
            else:
                found.append("followed" if share >= _FOLLOWED else "in part")
        return tuple(found)

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
        predicted=tuple(Interval(*map(float, f)) for f in zip(found, lows, highs, strict=True)),
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
