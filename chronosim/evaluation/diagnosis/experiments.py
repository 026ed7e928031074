"""Rollouts with one thing changed: what is told of the action, what is seen, which noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import gymnasium as gym
import numpy as np
from jaxtyping import Float64, UInt8

from chronosim.evaluation.diagnosis.rewording import COARSE, CoarseWords, StartWords
from chronosim.evaluation.fidelity.rollouts import roll_out
from chronosim.evaluation.fidelity.taught import teach
from chronosim.evaluation.outcomes.predictions import Autoencoding
from chronosim.evaluation.truth.recordings import Recording
from chronosim.metrics.pixels import squared_error
from chronosim.simulator import Simulator

__all__ = ["Experiment", "experiments", "round_trips", "step_errors"]

Frames = UInt8[np.ndarray, "episodes height width 3"]
Errors = Float64[np.ndarray, "steps episodes"]

_OTHER_NOISE = 1_000_003


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


def experiments(
    recordings: Sequence[Recording], simulator: Simulator, *, seed: int
) -> list[Experiment]:
    """Gives the experiments that a model and its prompter allow.

    Args:
        recordings: What truly happened.
        simulator: The model, and the prompter that the recordings were made with.
        seed: Of the noise that the unchanged runs were made with.
    """
    model, prompter = simulator.model, simulator.prompter
    swapped = _swapped(recordings)
    known = [
        Experiment(
            "noise",
            "another seed of the noise: how much is chance",
            "free-running",
            lambda: roll_out(recordings, simulator, seed=seed + _OTHER_NOISE),
        ),
        Experiment(
            "swapped actions",
            "told another episode's actions",
            "free-running",
            lambda: roll_out(swapped, simulator, seed=seed),
        ),
    ]
    if isinstance(prompter.action_space, gym.spaces.Box):
        coarse = replace(simulator, prompter=CoarseWords(prompter))
        known.append(
            Experiment(
                "coarse words",
                f"actions worded in {COARSE} steps of their range",
                "free-running",
                lambda: roll_out(recordings, coarse, seed=seed),
            )
        )
    if prompter.state_space.shape[0]:
        unaware = replace(simulator, prompter=StartWords(prompter))
        known.append(
            Experiment(
                "no state",
                "told the state of a beginning at every step",
                "free-running",
                lambda: roll_out(recordings, unaware, seed=seed),
            )
        )
    if isinstance(model, Autoencoding):
        seen = [_reconstructed(recording, model) for recording in recordings]
        known.append(
            Experiment(
                "blurred sight",
                "shown the true frames as its autoencoder gives them back",
                "teacher-forced",
                lambda: teach(seen, simulator, seed=seed),
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
            model.reconstruct(frame, recording.observations[step].frame[None])[-1]
            for frame, recording in zip(frames, recordings, strict=True)
        ]
        yield np.stack(frames)


def step_errors(recordings: Sequence[Recording], steps: Sequence[Frames]) -> Errors:
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
        frame = model.reconstruct(before.frame, observation.frame[None])[-1]
        seen.append(replace(observation, frame=frame))
    return replace(recording, observations=tuple(seen))
