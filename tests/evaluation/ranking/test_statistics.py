"""Figures of agreement, on scores whose figures are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from chronosim.evaluation.ranking.agreement import (
    fisher_interval,
    leave_one_out,
    mmrv,
    pearson,
    percentiles,
    permutation_floor,
    spearman,
)

# SIMPLER's published scores (simpler_env/utils/metrics.py), google_robot_move_near: RT-2-X, RT-1
# converged and at 15%, RT-1-X, RT-1 at its beginning, Octo-Base.
REAL = np.array([0.733, 0.633, 0.583, 0.450, 0.017, 0.350])
SIM = np.array([0.779, 0.442, 0.354, 0.317, 0.050, 0.042])


def plainly(reference: np.ndarray, model: np.ndarray) -> float:
    """The formula as SIMPLER has it, pair by pair."""
    worst = []
    for i in range(len(model)):
        lost = [0.0]
        for j in range(len(model)):
            if (model[i] > model[j]) != (reference[i] > reference[j]):
                lost.append(abs(float(reference[i] - reference[j])))
        worst.append(max(lost))
    return float(np.mean(worst))


def test_pearson_is_numpys() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 5, 12))
    found = pearson(reference=a, model=b)
    for row in range(5):
        assert found[row] == pytest.approx(np.corrcoef(a[row], b[row])[0, 1])


def test_what_does_not_vary_has_no_correlation() -> None:
    assert math.isnan(float(pearson(reference=np.full(4, 0.1), model=np.arange(4.0))))
    assert math.isnan(float(spearman(reference=np.arange(4.0), model=np.full(4, 0.1))))


def test_ranks_of_equal_scores_are_averaged() -> None:
    # ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: 4.5 / sqrt(4.5 * 5)
    found = spearman(reference=np.array([1.0, 2, 2, 3]), model=np.array([10.0, 20, 30, 40]))
    assert float(found) == pytest.approx(4.5 / math.sqrt(4.5 * 5))


def test_spearman_sees_order_alone() -> None:
    x = np.array([0.1, 0.5, 0.6, 0.9])
    assert float(spearman(reference=x, model=x**9)) == pytest.approx(1)


def test_mmrv_by_hand() -> None:
    # The model exchanges the two best, 0.2 apart: both lose 0.2, the third nothing.
    found = mmrv(reference=np.array([0.9, 0.7, 0.1]), model=np.array([0.5, 0.8, 0.0]))
    assert float(found) == pytest.approx((0.2 + 0.2 + 0) / 3)


def test_mmrv_is_simplers_and_not_symmetric() -> None:
    assert float(mmrv(reference=REAL, model=SIM)) == pytest.approx(0.111, abs=5e-4)
    assert float(mmrv(reference=SIM, model=REAL)) == pytest.approx(0.003, abs=5e-4), "the trap"
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 5, (2, 50, 7)) / 4  # ties among them
    found = mmrv(reference=a, model=b)
    swapped = mmrv(reference=b, model=a)
    for row in range(50):
        assert found[row] == pytest.approx(plainly(a[row], b[row]))
        assert swapped[row] == pytest.approx(plainly(b[row], a[row]))
    assert not np.allclose(found, swapped)


def test_a_tie_violates_the_order_of_one_of_the_two() -> None:
    tied = mmrv(reference=np.array([0.2, 0.6]), model=np.array([0.5, 0.5]))
    assert float(tied) == pytest.approx(0.4 / 2)


def test_which_side_is_which_must_be_said() -> None:
    with pytest.raises(TypeError):
        mmrv(REAL, SIM)  # type: ignore[call-arg]


def test_fishers_interval() -> None:
    # By hand: atanh(0.8) = 1.0986, +- 1.96 / sqrt(13) = 0.5436.
    found = fisher_interval(0.8, 16)
    assert found.low == pytest.approx(math.tanh(1.0986 - 0.5436), abs=1e-3)
    assert found.high == pytest.approx(math.tanh(1.0986 + 0.5436), abs=1e-3)
    assert fisher_interval(0.99, 3).low == -1, "three points tell nothing"


def test_undefined_resamples_are_left_out() -> None:
    found = percentiles(0.5, np.array([np.nan, *np.linspace(0, 1, 41)]))
    assert (found.low, found.high) == pytest.approx((0.025, 0.975))
    assert math.isnan(percentiles(math.nan, np.full(3, np.nan)).low)


def test_few_policies_cannot_show_small_p() -> None:
    assert permutation_floor(4, 10_000) == 1 / 24
    assert permutation_floor(16, 999) == 1 / 1000


def test_one_policy_that_carries_all() -> None:
    reference = np.array([0.1, 0.11, 0.1, 0.09, 0.9])
    model = np.array([0.1, 0.09, 0.12, 0.11, 0.9])
    without = leave_one_out(reference=reference, model=model, groups=list("abcde"))
    assert without["a"] > 0.95
    assert without["e"] < 0
    grouped = leave_one_out(reference=reference, model=model, groups=list("aaabb"))
    assert list(grouped) == ["a", "b"]
    assert math.isnan(grouped["a"]), "two are left"
