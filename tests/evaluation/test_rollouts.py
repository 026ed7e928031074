from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from chronosim.evaluation import (
    Drift,
    Recording,
    Reference,
    draw_recordings,
    roll_out,
    score_rollouts,
)
from chronosim.metrics.pixels import psnr, squared_error
from chronosim.testing import EchoModel
from chronosim.types import Observation
from chronosim.world import World


def test_a_model_that_knows_the_world_never_drifts(slider: Reference, knowing: Any) -> None:
    """It also checks that each of its frames is what it said the step before."""
    recordings = list(draw_recordings(3, reference=slider, steps=5, first_seed=1))
    imagined = list(roll_out(recordings, World(knowing, slider.prompter), seed=0))
    assert len(imagined) == 5
    drift = score_rollouts(recordings, imagined)
    assert drift.model == (math.inf,) * 5
    assert drift.episodes == 3


def test_a_model_that_copies_keeps_the_first_frame(slider: Reference) -> None:
    recordings = list(draw_recordings(3, reference=slider, steps=5, first_seed=1))
    imagined = list(roll_out(recordings, World(EchoModel(), slider.prompter), seed=0))
    drift = score_rollouts(recordings, imagined)
    assert drift.model == drift.first_frame
    assert drift.steps_above_first == 0


def test_the_mean_frame_is_that_of_the_other_episodes() -> None:
    def recording(*greys: int) -> Recording:
        frames = [np.full((4, 4, 3), grey, np.uint8) for grey in greys]
        return Recording(0, (None,), tuple(map(Observation, frames)))

    drift = score_rollouts(
        [recording(0, 100), recording(20, 40)], [np.zeros((2, 4, 4, 3), np.uint8)]
    )
    # The first episode's true outcome, 100, against the other's mean, 30; and 40 against 50.
    assert drift.mean_frame == pytest.approx([psnr((70**2 + 10**2) / 2)])
    assert drift.first_frame == pytest.approx([psnr((100**2 + 20**2) / 2)])
    assert drift.model == pytest.approx([psnr((100**2 + 40**2) / 2)])
    assert squared_error(np.zeros(1, np.uint8), np.full(1, 70, np.uint8)) == 70**2


def test_steps_above_are_counted_from_the_beginning() -> None:
    drift = Drift(2, (5.0, 5.0, 3.0, 5.0), (4.0, 4.0, 4.0, 4.0), (1.0, 1.0, 1.0, 1.0))
    assert drift.steps_above_first == 2
    assert drift.steps_above_mean == 4
