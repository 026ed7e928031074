"""What a model makes of moments and episodes, and what has to be beaten and could be reached."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from chronosim.evaluation.truth import Moment, Recording
from chronosim.seeds import noise_seed
from chronosim.types import Frame, Frames, Trajectory
from chronosim.world import World

_BATCH = 8  # moments predicted by one call of the model


@runtime_checkable
class Autoencoding(Protocol):
    """A world model that answers through an autoencoder, and shows what that alone loses."""

    def reconstruct(self, frame: Frame, trajectory: Trajectory) -> Trajectory:
        """Encodes what truly followed a frame, and decodes it as an answer is decoded."""
        ...


def predict(moments: Sequence[Moment], world: World, *, seed: int = 0) -> Iterator[Trajectory]:
    """Predicts what comes of the action taken at each moment.

    Args:
        moments: Where.
        world: The model, and the prompter that the moments were drawn with.
        seed: Of the model's noise; moment i has seed + i.

    Yields:
        One trajectory for each moment.
    """
    for first in range(0, len(moments), _BATCH):
        batch = moments[first : first + _BATCH]
        steps = world.advance(
            [moment.observation for moment in batch],
            [moment.actions[0] for moment in batch],
            seeds=range(seed + first, seed + first + len(batch)),
        )
        yield from (step.prediction.trajectory for step in steps)


def copy_frame(moment: Moment) -> Trajectory:
    """Gives the observed frame as often as the true trajectory has frames: copy-last-frame."""
    return np.repeat(moment.observation.frame[None], len(moment.trajectory), axis=0)


def see_through(model: Autoencoding, before: Frame, after: Frame) -> Frame:
    """Gives a true frame as the model would show it at best, having observed the one before it."""
    shown: Frame = model.reconstruct(before, after[None])[-1]
    return shown


def reconstruct(moment: Moment, model: Autoencoding, time: int) -> Trajectory:
    """Reconstructs a moment's true trajectory: the best that a model could do, the oracle.

    Args:
        moment: Whose trajectory.
        model: Whose autoencoder.
        time: Length of the model's own trajectories. Where it is not the truth's, only the outcome
            is reconstructed.

    Returns:
        The true trajectory, or the outcome alone, as the model would show it at best.
    """
    true = moment.trajectory
    return model.reconstruct(moment.observation.frame, true if len(true) == time else true[-1:])


def roll_out(recordings: Sequence[Recording], world: World, *, seed: int) -> Iterator[Frames]:
    """Lets the model go on alone from each first observation, under the recorded actions.

    Args:
        recordings: All of one length.
        world: The model, and the prompter that the recordings were made with.
        seed: The noise of recording i at depth d is `noise_seed(seed + i, d)`.

    Yields:
        After each step the model's frame of each episode; one call of the model a step.
    """
    observations = [recording.observations[0] for recording in recordings]
    for depth in range(len(recordings[0].actions)):
        steps = world.advance(
            observations,
            [recording.actions[depth] for recording in recordings],
            seeds=[noise_seed(seed + index, depth) for index in range(len(recordings))],
        )
        observations = [step.after for step in steps]
        yield np.stack([observation.frame for observation in observations])


def teach(recordings: Sequence[Recording], world: World, *, seed: int) -> Iterator[Frames]:
    """Has the model predict each step from the true observation before it.

    Args:
        recordings: All of one length.
        world: The model, and the prompter that the recordings were made with.
        seed: The noise of recording i at depth d is `noise_seed(seed + i, d)`, as of `roll_out`.

    Yields:
        For each step the model's frame of each episode; one call of the model a step.
    """
    for depth in range(len(recordings[0].actions)):
        steps = world.advance(
            [recording.observations[depth] for recording in recordings],
            [recording.actions[depth] for recording in recordings],
            seeds=[noise_seed(seed + index, depth) for index in range(len(recordings))],
        )
        yield np.stack([step.after.frame for step in steps])
