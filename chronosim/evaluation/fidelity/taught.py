"""Teacher-forced steps: at each the model is shown the true frame, so that no error is fed back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import UInt8

from chronosim.evaluation.truth.recordings import Recording
from chronosim.simulator import Simulator, noise_seed

__all__ = ["teach"]

Frames = UInt8[np.ndarray, "episodes height width 3"]


def teach(recordings: Sequence[Recording], simulator: Simulator, *, seed: int) -> Iterator[Frames]:
    """Has the model predict each step from the true observation before it.

    Args:
        recordings: All of one length.
        simulator: The model, and the prompter that the recordings were made with.
        seed: The noise of recording i at depth d is `noise_seed(seed + i, d)`, as of `roll_out`.

    Yields:
        For each step the model's frame of each episode; one call of the model a step.
    """
    for depth in range(len(recordings[0].actions)):
        steps = simulator.step_all(
            [recording.observations[depth] for recording in recordings],
            [recording.actions[depth] for recording in recordings],
            seeds=[noise_seed(seed + index, depth) for index in range(len(recordings))],
        )
        yield np.stack([after.frame for after, _ in steps])
