"""Free-running rollouts, where the model feeds on its own frames, and teacher-forced steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from chronosim.evaluation.truth.recordings import Recording
from chronosim.metrics.pixels import psnr, squared_error
from chronosim.simulator import Simulator, noise_seed
from chronosim.types import Frame

__all__ = ["Drift", "roll_out", "score_rollouts", "teach"]

Frames = UInt8[np.ndarray, "episodes height width 3"]


@dataclass(frozen=True, slots=True)
class Drift:
    """How near to the truth a free-running model stays; PSNR of the error pooled over episodes, dB.

    Attributes:
        episodes: How many.
        model: Of the model's frame after each step.
        first_frame: Of the last true frame that the model saw, the first of the episode.
        mean_frame: Of the mean over all true frames of the other episodes: the best guess of one
            who knows the world but not this episode. Those are held-out episodes, too, so it is a
            mean that the model never saw; that of the frames it was trained on differs little.
    """

    episodes: int
    model: tuple[float, ...]
    first_frame: tuple[float, ...]
    mean_frame: tuple[float, ...]

    @property
    def steps_above_first(self) -> int:
        """How many steps from the beginning the model is above the first frame throughout."""
        return _leading(self.model, self.first_frame)

    @property
    def steps_above_mean(self) -> int:
        """How many steps from the beginning the model is above the mean frame throughout."""
        return _leading(self.model, self.mean_frame)


def roll_out(
    recordings: Sequence[Recording], simulator: Simulator, *, seed: int
) -> Iterator[Frames]:
    """Lets the model go on alone from each first observation, under the recorded actions.

    Args:
        recordings: All of one length.
        simulator: The model, and the prompter that the recordings were made with.
        seed: The noise of recording i at depth d is `noise_seed(seed + i, d)`.

    Yields:
        After each step the model's frame of each episode; one call of the model a step.
    """
    observations = [recording.observations[0] for recording in recordings]
    for depth in range(len(recordings[0].actions)):
        steps = simulator.step_all(
            observations,
            [recording.actions[depth] for recording in recordings],
            seeds=[noise_seed(seed + index, depth) for index in range(len(recordings))],
        )
        observations = [after for after, _ in steps]
        yield np.stack([observation.frame for observation in observations])


def score_rollouts(recordings: Sequence[Recording], imagined: Sequence[Frames]) -> Drift:
    """Scores rollouts, step by step.

    Args:
        recordings: What truly happened in at least two episodes.
        imagined: What the model made of it: after each step, a frame of each episode.
    """
    first = np.stack([recording.observations[0].frame for recording in recordings])
    mean = np.stack(_means_of_others(recordings))
    true = [
        np.stack([recording.observations[step + 1].frame for recording in recordings])
        for step in range(len(imagined))
    ]
    return Drift(
        episodes=len(recordings),
        model=tuple(psnr(squared_error(i, t)) for i, t in zip(imagined, true, strict=True)),
        first_frame=tuple(psnr(squared_error(first, t)) for t in true),
        mean_frame=tuple(psnr(squared_error(mean, t)) for t in true),
    )


def _means_of_others(recordings: Sequence[Recording]) -> list[Frame]:
    """For each episode the mean frame of all others."""
    means = np.stack(
        [np.mean([o.frame for o in recording.observations], axis=0) for recording in recordings]
    )
    others = (means.sum(axis=0) - means) / (len(means) - 1)
    return list(others.round().astype(np.uint8))


def _leading(ours: Sequence[float], theirs: Sequence[float]) -> int:
    above = [a > b for a, b in zip(ours, theirs, strict=True)]
    return above.index(False) if False in above else len(above)


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
