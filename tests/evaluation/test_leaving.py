"""Rollouts that leave a world of the same blocks, each time elsewhere."""

from typing import Any

import numpy as np
import pytest

from chronosim.evaluation.defects import LEAVING, find_leaving, shares_lost
from chronosim.evaluation.fidelity import steps_table

EPISODES, STEPS = 20, 20


@pytest.fixture(scope="module")
def true() -> list[Any]:
    """After each step a frame (24, 24) of each episode, the first ones before."""
    rng = np.random.default_rng(0)
    greys = np.arange(40, 200, 10)
    blocks = np.stack([rng.permutation(greys).reshape(4, 4) for _ in range(EPISODES)])
    frames = blocks.repeat(6, axis=1).repeat(6, axis=2)[..., None] * np.array([1, 0.6, 0.3])
    films = [np.roll(frames, step, axis=2) for step in range(STEPS + 1)]
    return [(film + rng.normal(0, 2, film.shape)).astype(np.uint8) for film in films]


def test_rollouts_that_stay_are_not_lost(true: list[Any]) -> None:
    shares = shares_lost(true[1:], true)
    assert shares is not None
    assert max(shares) < 0.3
    assert not find_leaving(shares).found


def test_it_is_told_when_they_leave(true: list[Any]) -> None:
    rng = np.random.default_rng(1)
    drifting = [
        (film + rng.normal(0, 4 * max(0, step - 9), film.shape)).clip(0, 255).astype(np.uint8)
        for step, film in enumerate(true)
    ]
    shares = shares_lost(drifting[1:], true)
    assert shares is not None
    assert shares[8] < 0.3
    assert shares[-1] == 1, "what was lost stays lost"
    assert list(shares) == sorted(shares)
    assert find_leaving(shares).found
    table = steps_table([("lost", shares, ".0%")], LEAVING)
    assert table.rows[0][-1] == "100%"


def test_what_the_autoencoder_makes_of_the_truth_is_not_lost(true: list[Any]) -> None:
    """A picture as soft as a model's best has not left the world."""
    near = [[np.roll(film, way, axis) for way in (-1, 1) for axis in (1, 2)] for film in true]
    soft = [
        np.mean([film, *beside], axis=0).astype(np.uint8)
        for film, beside in zip(true, near, strict=True)
    ]
    without, within = shares_lost(soft[1:], true), shares_lost(soft[1:], true, soft[1:])
    assert without is not None
    assert within is not None
    assert without[0] == 1
    assert max(within) < 0.3


def test_few_frames_make_no_guard(true: list[Any]) -> None:
    assert shares_lost(true[1:5], true[:5]) is None
    few = [frames[:10] for frames in true]
    assert shares_lost(few[1:], few) is None
