"""Rollouts with one thing changed: what is told of the action, what is seen, which noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from jaxtyping import Float64

from chronosim.evaluation.predictions import Autoencoding, roll_out, see_through, teach
from chronosim.evaluation.truth import Recording, Steps
from chronosim.metrics.pixels import squared_error
from chronosim.protocols import Prompter
from chronosim.types import Frames, Observation, State
from chronosim.world import World

Errors = Float64[np.ndarray, "steps episodes"]

OTHER_NOISE = 1_000_003
"""Added to a seed, it gives noise that no other part of an evaluation draws."""


@dataclass(frozen=True, slots=True, eq=False)
class Experiment:
    """One thing changed, all else being as it was.

    Attributes:
        name: A word for JSON.
        changed: What, in words.
        against: "free-running" or "teacher-forced": the run that differs in this alone.
        run: Makes the frames after each step; one call of the model a step.
    """

    name: str
    changed: str
    against: str
    run: Callable[[], Iterator[Frames]]


def experiments(recordings: Sequence[Recording], world: World, *, seed: int) -> list[Experiment]:
    """Gives the experiments that a model and its prompter allow.

    Args:
        recordings: What truly happened.
        world: The model, and the prompter that the recordings were made with.
        seed: Of the noise that the unchanged runs were made with.
    """
    model = world.model
    swapped = _swapped(recordings)
    known = [
        Experiment(
            "noise",
            "another seed of the noise: how much is chance",
            "free-running",
            lambda: roll_out(recordings, world, seed=seed + OTHER_NOISE),
        ),
        Experiment(
            "swapped actions",
            "told another episode's actions",
            "free-running",
            lambda: roll_out(swapped, world, seed=seed),
        ),
    ]
    known += [
        Experiment(name, changed, "free-running", partial(roll_out, recordings, told, seed=seed))
        for name, changed, told in tell_less(world)
    ]
    if isinstance(model, Autoencoding):
        seen = [_reconstructed(recording, model) for recording in recordings]
        known.append(
            Experiment(
                "blurred sight",
                "shown the true frames as its autoencoder gives them back",
                "teacher-forced",
                lambda: teach(seen, world, seed=seed),
            )
        )
    return known


def round_trips(recordings: Sequence[Recording], model: Autoencoding) -> Iterator[Frames]:
    """A perfect model but for its autoencoder: the truth round the trip, each fed to the next.

    Args:
        recordings: What truly happened.
        model: Whose autoencoder.

    Yields:
        After each step, a frame of each episode.
    """
    frames = [recording.observations[0].frame for recording in recordings]
    for step in range(1, len(recordings[0].observations)):
        frames = [
            see_through(model, frame, recording.observations[step].frame)
            for frame, recording in zip(frames, recordings, strict=True)
        ]
        yield np.stack(frames)


def step_errors(recordings: Sequence[Recording], steps: Steps) -> Errors:
    """Squared error of each step of each episode, grey levels squared."""
    return np.array(
        [
            [
                squared_error(frame, recording.observations[step].frame)
                for frame, recording in zip(frames, recordings, strict=True)
            ]
            for step, frames in enumerate(steps, 1)
        ]
    )


def _swapped(recordings: Sequence[Recording]) -> list[Recording]:
    others = [*recordings[1:], recordings[0]]
    return [
        replace(recording, actions=other.actions)
        for recording, other in zip(recordings, others, strict=True)
    ]


def _reconstructed(recording: Recording, model: Autoencoding) -> Recording:
    first, *rest = recording.observations
    seen = [first]
    for before, observation in zip(recording.observations, rest, strict=False):
        frame = see_through(model, before.frame, observation.frame)
        seen.append(replace(observation, frame=frame))
    return replace(recording, observations=tuple(seen))


_COARSE = 4  # steps that an action's range is told in


def tell_less(world: World) -> Iterator[tuple[str, str, World]]:
    """Gives the world with worse words, in each way that its prompter allows.

    Args:
        world: A model and its prompter.

    Yields:
        A word for JSON, what was changed in words, and the world so changed.
    """
    prompter = world.prompter
    if isinstance(prompter.action_space, gym.spaces.Box):
        coarse = replace(world, prompter=_CoarseWords(prompter))
        yield "coarse words", f"actions worded in {_COARSE} steps of their range", coarse
    if prompter.state_space.shape[0]:
        unaware = replace(world, prompter=_StartWords(prompter))
        yield "no state", "told the state of a beginning at every step", unaware


@dataclass(frozen=True, slots=True)
class _Reworded:
    """A prompter with other words; what it reckons stays.

    Attributes:
        inner: The prompter.
    """

    inner: Prompter

    @property
    def action_space(self) -> gym.Space[Any]:
        return self.inner.action_space

    @property
    def state_space(self) -> gym.spaces.Box:
        return self.inner.state_space

    @property
    def seconds_per_step(self) -> float | None:
        return self.inner.seconds_per_step

    def begin(self, values: Any) -> State:
        return self.inner.begin(values)


class _CoarseWords(_Reworded):
    """Words of the action rounded to few steps of its range."""

    def __call__(self, observation: Observation, action: Any) -> tuple[str, State]:
        """Words the rounded action, and reckons with the true one."""
        space = self.inner.action_space
        assert isinstance(space, gym.spaces.Box)
        width = (space.high - space.low) / _COARSE
        rounded = space.low + np.round((np.asarray(action) - space.low) / width) * width
        text, _ = self.inner(observation, rounded.astype(space.dtype))
        return text, self.inner(observation, action)[1]


class _StartWords(_Reworded):
    """Words that name the state in which an episode begins, whatever it is by now."""

    def __call__(self, observation: Observation, action: Any) -> tuple[str, State]:
        """Words the action as of a beginning, and reckons with the true state."""
        unaware = replace(observation, state=self.inner.begin({}))
        return self.inner(unaware, action)[0], self.inner(observation, action)[1]
