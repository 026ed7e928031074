"""Agreement and the claim: what is carried, and what is refused by which words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from chronosim.errors import InvalidConfig
from chronosim.evaluation.ranking import Agreement, agree, judge, pearson

MAKES = [f"make {index % 5}" for index in range(16)]
NAMES = tuple(f"policy-{index}" for index in range(16))


def scores(noise: float = 0.1, starts: int = 40, seed: int = 0) -> np.ndarray:
    """Sixteen policies from bad to good, each start a little different."""
    rng = np.random.default_rng(seed)
    return np.linspace(0, 1, 16)[:, None] + rng.normal(0, noise, (16, starts))


def test_a_perfect_model_agrees() -> None:
    found = agree(reference=scores(), model=scores(), makes=MAKES)
    assert found.pearson.value == pytest.approx(1)
    assert found.mmrv.value == 0
    assert (found.policies, found.makes, found.starts) == (16, 5, 40)
    assert found.chance.p == pytest.approx(1 / 2001)
    claim = judge(found, found, source="Real", names=NAMES)
    assert claim.carried
    assert "much as in Real" in str(claim)
    assert "No better model could be told" in str(claim)


def test_the_noise_floor_is_what_another_run_of_the_truth_shows() -> None:
    found = agree(reference=scores(1, 20), model=scores(1, 20, seed=1), makes=MAKES)
    others = [
        pearson(reference=scores(1, 20, s).mean(axis=1), model=scores(1, 20, s + 99).mean(axis=1))
        for s in range(2, 42)
    ]
    typical = float(np.mean(others))
    assert found.noise.pearson == pytest.approx(typical, abs=0.2)
    assert found.noise.mmrv > 0.02
    quiet = agree(reference=scores(0.01), model=scores(0.01), makes=MAKES)
    assert quiet.noise.mmrv == pytest.approx(0, abs=1e-3)


def test_intervals_know_of_policies_and_of_starts() -> None:
    model = scores(seed=1)
    model[::3] = 0.5  # some policies are seen wrong
    found = agree(reference=scores(), model=model, makes=MAKES)
    assert found.pearson.low < found.pearson.value < found.pearson.high
    few = agree(reference=scores()[:6], model=model[:6], makes=MAKES[:6])
    assert few.pearson.high - few.pearson.low > found.pearson.high - found.pearson.low
    assert found.by_make.low < found.by_make.high


def test_the_interval_of_rank_violations_does_not_lean_low() -> None:
    """A policy drawn twice violates no order with itself: such resamples alone lie a fifth low."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(8):
        good = np.tile(rng.normal(size=(16, 1)), 2)
        believed = good + rng.normal(0, 0.4, (16, 1))
        found.append(agree(reference=good, model=believed, makes=MAKES).mmrv)
    middle = np.mean([(interval.low + interval.high) / 2 for interval in found])
    assert middle == pytest.approx(np.mean([interval.value for interval in found]), rel=0.05)


def test_without_agreement_nothing_is_claimed() -> None:
    model = np.random.default_rng(3).permutation(scores())
    claim = judge(
        agree(reference=scores(), model=model, makes=MAKES), None, source="Real", names=NAMES
    )
    assert not claim.carried
    assert "not shown" in claim.sentence
    assert any("interval of the correlation" in reason for reason in claim.refused)
    assert any("by chance" in reason for reason in claim.refused)


def claim_of(found: Agreement) -> str:
    claim = judge(found, None, source="Real", names=NAMES)
    assert not claim.carried
    return str(claim)


def test_each_lack_is_named() -> None:
    perfect = agree(reference=scores(), model=scores(), makes=MAKES)
    assert "8 policies are too few" in claim_of(replace(perfect, policies=8))
    assert "of 1 make, and" in claim_of(replace(perfect, makes=1))
    assert "4 starts are too few" in claim_of(replace(perfect, starts=4))
    lucky = replace(perfect, by_make=replace(perfect.by_make, low=-0.1))
    assert "whole makes resampled" in claim_of(lucky)
    noisy = replace(perfect, noise=replace(perfect.noise, pearson_low=0.3))
    assert "within the noise" in claim_of(noisy)
    alike = agree(reference=np.full((16, 40), 0.5), model=scores(), makes=MAKES)
    assert "score alike" in claim_of(alike)


def test_what_must_be_said_along_with_it() -> None:
    perfect = agree(reference=scores(), model=scores(), makes=MAKES)
    alone = judge(replace(perfect, swing=0.4, swing_policy=3), perfect, source="Real", names=NAMES)
    assert "rests on policy-3" in str(alone)
    lost = replace(perfect, pearson=replace(perfect.pearson, low=-0.2))
    assert "not the good from one another" in str(judge(perfect, lost, source="", names=NAMES))
    assert "nothing is said of these" in str(judge(perfect, None, source="", names=NAMES))


def test_scores_that_do_not_belong_together_are_refused(as_users_run_it: None) -> None:
    with pytest.raises(InvalidConfig, match="of one shape"):
        agree(reference=scores(), model=scores()[:3], makes=MAKES)
    with pytest.raises(InvalidConfig, match="from 3 policies"):
        agree(reference=scores()[:2], model=scores()[:2], makes=MAKES[:2])
