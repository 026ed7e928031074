"""The figures: right where the answer is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from chronosim.errors import InvalidConfig
from chronosim.evaluation import Moment, Region, score
from chronosim.evaluation.intervals import wilson_interval

Noise = Callable[..., list[Moment]]


def test_the_truth_itself_is_perfect(noise: Noise, dashboard: Region) -> None:
    moments = noise()
    scores = score(moments, [moment.trajectory for moment in moments], dashboard)
    assert scores.without is not None
    for closeness in (scores.whole, scores.without):
        assert closeness.psnr == closeness.psnr_moving == float("inf")
        assert closeness.following.share == 1
        assert closeness.following.low < 1
    assert scores.between == (float("inf"),) * 2


def test_the_outcome_of_another_action_is_never_right(noise: Noise) -> None:
    moments = noise()
    scores = score(moments, [moment.others[2][None] for moment in moments])
    assert scores.whole.following.share == 0
    assert scores.whole.following.low == pytest.approx(0)
    assert scores.without is None


def test_a_region_is_left_out_where_it_says_so(noise: Noise, dashboard: Region) -> None:
    moments = noise()
    predicted = [moment.trajectory.copy() for moment in moments]
    for trajectory in predicted:
        trajectory[-1, 84:] = 255 - trajectory[-1, 84:]
    scores = score(moments, predicted, dashboard)
    assert scores.without is not None
    assert scores.without.psnr == float("inf")
    assert scores.whole.psnr < 20


def test_the_error_is_pooled_before_the_logarithm(noise: Noise) -> None:
    moments = noise()
    predicted = [moment.trajectory.copy() for moment in moments]
    frame = predicted[0][-1]
    predicted[0][-1] = np.where(frame < 128, frame + 16, frame - 16)
    assert score(moments, predicted).whole.psnr == pytest.approx(10 * np.log10(255**2 / (256 / 8)))


def test_the_moving_half_is_that_of_the_larger_true_change(noise: Noise) -> None:
    moments = noise(4)
    for index, moment in enumerate(moments):  # the later, the more its truth changes
        moment.trajectory[:] = moment.observation.frame // 4 * (4 - index)
    still_off = [m.trajectory // 2 if i < 2 else m.trajectory for i, m in enumerate(moments)]
    moving_off = [m.trajectory // 2 if i >= 2 else m.trajectory for i, m in enumerate(moments)]
    assert score(moments, still_off).whole.psnr_moving == float("inf")
    assert score(moments, still_off).whole.psnr < 30
    assert score(moments, moving_off).whole.psnr_moving < 30


def test_each_frame_on_the_way_has_its_figure(noise: Noise) -> None:
    moments = noise(time=4)
    predicted = [moment.trajectory.copy() for moment in moments]
    for trajectory in predicted:
        trajectory[1] = np.where(trajectory[1] < 128, trajectory[1] + 16, trajectory[1] - 16)
    between = score(moments, predicted).between
    assert between is not None
    assert between[0] == between[2] == float("inf")
    assert between[1] == pytest.approx(10 * np.log10(255**2 / 256))


def test_trajectories_of_another_length_are_judged_by_their_outcome(noise: Noise) -> None:
    moments = noise(time=3)
    scores = score(moments, [moment.trajectory[1:] for moment in moments])
    assert scores.between is None
    assert scores.whole.psnr == float("inf")


def test_wilson_intervals_are_the_known_ones() -> None:
    assert wilson_interval(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert wilson_interval(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)


def test_a_region_leaves_something_to_judge() -> None:
    with pytest.raises(InvalidConfig, match="not in row 0"):
        Region("everything", 0)
