import numpy as np
import pytest

from chronosim.evaluation.intervals import resample_steps as resample
from chronosim.evaluation.report.plots import draw_curves


def test_a_curve_is_the_figure_of_the_means() -> None:
    measured = np.array([[1.0, 3.0], [4.0, 4.0]])
    curve = resample(measured, of=np.sqrt)
    assert curve.values == pytest.approx([np.sqrt(2), 2])
    assert curve.mean == pytest.approx((np.sqrt(2) + 2) / 2)
    # Of two episodes, resampling gives either one alone, or both.
    assert curve.low == pytest.approx([1, 2])
    assert curve.high == pytest.approx([np.sqrt(3), 2])


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    covered = [
        curve.low[0] <= 0 <= curve.high[0]
        for curve in (resample(rng.normal(size=(1, 30)), of=np.positive) for _ in range(200))
    ]
    assert 0.88 <= np.mean(covered) <= 0.98


def test_figures_without_error_are_infinite_not_an_accident() -> None:
    curve = resample(np.zeros((2, 5)), of=lambda error: -np.log(error))
    assert curve.values == (np.inf, np.inf)
    assert curve.mean_low == np.inf
    assert draw_curves({"none": {"model": curve}})[:4] == b"\x89PNG"
