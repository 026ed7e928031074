"""What is judged at moments: predictions, copies of the frame, and the truth autoencoded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from chronosim.evaluation.truth.moments import Moment
from chronosim.simulator import Simulator
from chronosim.types import Frame, Trajectory

__all__ = ["Autoencoding", "copy_frame", "predict", "reconstruct", "see_through"]

_BATCH = 8  # moments predicted by one call of the model


@runtime_checkable
class Autoencoding(Protocol):
    """A world model that answers through an autoencoder, and shows what that alone loses."""

    def reconstruct(self, frame: Frame, trajectory: Trajectory) -> Trajectory:
        """Encodes what truly followed a frame, and decodes it as an answer is decoded."""
        ...


def predict(
    moments: Sequence[Moment], simulator: Simulator, *, seed: int = 0
) -> Iterator[Trajectory]:
    """Predicts what comes of the action taken at each moment.

    Args:
        moments: Where.
        simulator: The model, and the prompter that the moments were drawn with.
        seed: Of the model's noise; moment i has seed + i.

    Yields:
        One trajectory for each moment.
    """
    for first in range(0, len(moments), _BATCH):
        batch = moments[first : first + _BATCH]
        steps = simulator.step_all(
            [moment.observation for moment in batch],
            [moment.actions[0] for moment in batch],
            seeds=range(seed + first, seed + first + len(batch)),
        )
        yield from (prediction.trajectory for _, prediction in steps)


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
