"""The figures: right where the answer is known."""

import numpy as np
import pytest

from chronosim.evaluation import Moment, score_outcomes
from chronosim.evaluation.scores import wilson_interval
from chronosim.types import Observation


@pytest.fixture
def moments() -> list[Moment]:
    rng = np.random.default_rng(0)
    made = []
    for seed in range(8):
        frame = rng.integers(0, 256, (96, 96, 3), dtype=np.uint8)
        outcomes = rng.integers(0, 256, (5, 96, 96, 3), dtype=np.uint8)
        actions = np.zeros((5, 3), np.float32)
        made.append(Moment(seed, Observation(frame), actions, ("words",) * 5, outcomes))
    return made


def test_the_truth_itself_is_perfect(moments: list[Moment]) -> None:
    scores = score_outcomes(moments, [moment.outcomes[0] for moment in moments])
    assert scores.psnr == scores.psnr_moving == scores.psnr_world == float("inf")
    assert scores.following == scores.following_world == 1
    assert scores.chance == 0.2
    assert scores.following_low < 1


def test_the_outcome_of_another_action_is_never_right(moments: list[Moment]) -> None:
    scores = score_outcomes(moments, [moment.outcomes[2] for moment in moments])
    assert scores.following == 0
    assert scores.following_low == pytest.approx(0)


def test_the_dashboard_is_left_out_where_it_says_so(moments: list[Moment]) -> None:
    predicted = []
    for moment in moments:
        frame = moment.outcomes[0].copy()
        frame[84:] = 255 - frame[84:]
        predicted.append(frame)
    scores = score_outcomes(moments, predicted)
    assert scores.psnr_world == float("inf")
    assert scores.psnr < 20


def test_the_error_is_pooled_before_the_logarithm(moments: list[Moment]) -> None:
    predicted = [moment.outcomes[0].copy() for moment in moments]
    predicted[0] = np.where(predicted[0] < 128, predicted[0] + 16, predicted[0] - 16)
    scores = score_outcomes(moments, predicted)
    assert scores.psnr == pytest.approx(10 * np.log10(255**2 / (256 / 8)))


def test_wilson_intervals_are_the_known_ones() -> None:
    assert wilson_interval(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert wilson_interval(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
