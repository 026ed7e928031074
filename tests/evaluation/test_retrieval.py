"""Retrieval, controls and the probe on numbers that are known."""

from __future__ import annotations

import math

import gymnasium as gym
import numpy as np
import pytest

from chronosim.errors import InvalidConfig
from chronosim.evaluation.intervals import ratio, resample
from chronosim.evaluation.probe import learn_probe, probes_for, recover
from chronosim.evaluation.retrieval import control, distances, retrieve


def test_distances_are_mean_squares() -> None:
    ours = np.zeros((1, 2, 2, 2, 3), np.uint8)
    theirs = np.full((1, 3, 2, 2, 3), 4, np.uint8)
    theirs[0, 2] = 255
    np.testing.assert_array_equal(distances(ours, theirs), [[[16, 16, 255**2]] * 2])


def test_confusion_is_in_the_order_of_the_actions() -> None:
    # The actions are 3 and 1; the prediction of 3 is taken for that of 1.
    errors = np.array([[[5.0, 1.0], [9.0, 2.0]]])
    apart = np.array([[[0.0, 100.0], [100.0, 0.0]]])
    found = retrieve(errors, apart, [(np.array([3.0, 0]), np.array([1.0, 0]))])
    np.testing.assert_array_equal(found.confusion, [[1, 0], [1, 0]])
    assert (found.taken.share, found.every.value, found.distinct) == (0, 0.5, 0.5)
    assert {step.margin for step in found.curve} == {10.0}


def test_retrieval_rises_with_the_margin() -> None:
    rng = np.random.default_rng(0)
    truths = rng.normal(0, 1, (200, 4, 1)) * rng.uniform(0.1, 10, (200, 1, 1))
    predictions = truths + rng.normal(0, 1, truths.shape)
    errors = (predictions - truths.transpose(0, 2, 1)) ** 2
    apart = (truths - truths.transpose(0, 2, 1)) ** 2
    curve = retrieve(errors, apart, [(0, 1, 2, 3)] * 200).curve
    assert [step.margin for step in curve] == sorted(step.margin for step in curve)
    assert curve[-1].share.low > curve[0].share.high


def test_ratios_have_intervals() -> None:
    figure = ratio(np.full(20, 4.0), np.full(20, 2.0))
    assert (figure.value, figure.low, figure.high) == (2, 2, 2)
    assert ratio(np.ones(3), np.zeros(3)).value == math.inf
    assert ratio(np.zeros(3), np.zeros(3)).value == 1
    rng = np.random.default_rng(0)
    wide, narrow = resample(rng.normal(size=20)), resample(rng.normal(size=2000))
    assert wide.high - wide.low > narrow.high - narrow.low


def test_controls_by_hand() -> None:
    own = np.full((10, 2), 3.0)
    found = control(own, 3 * own, 2 * own)
    assert found.idle is not None
    assert (found.own, found.swapped.value, found.idle.value) == (3, 3, 2)
    assert control(own, own).idle is None


def bars(shifts: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A bar somewhere, and where it lies after a shift by so many columns."""
    places = np.random.default_rng(seed).integers(10, 80, len(shifts))
    frames = np.zeros((2, len(shifts), 96, 96, 3), np.uint8)
    for index, (place, shift) in enumerate(zip(places, shifts, strict=True)):
        frames[0, index, :, place : place + 6] = 200
        frames[1, index, :, place + shift : place + shift + 6] = 200
    return frames[0], frames[1]


def test_the_probe_tells_what_moved_and_nothing_where_nothing_moved() -> None:
    rng = np.random.default_rng(0)
    shifts = rng.integers(-8, 9, 280)
    unseen = rng.normal(size=280)  # a second number that leaves no trace
    actions = list(np.stack([shifts / 8, unseen], axis=1).astype(np.float32))
    before, after = bars(shifts, 1)
    space = gym.spaces.Box(-10, 10, (2,), np.float32)
    probe = learn_probe(before[:240], after[:240], actions[:240], space=space, width=8)
    held = before[240:], after[240:]
    found = recover(
        probe, *held, held[0], actions[240:], groups=range(40), names=["shift", "unseen"]
    )
    assert found.kind == "R²"
    assert found.ceiling[0] > 0.6
    assert found.ceiling[1] < 0.2, "what leaves no trace cannot be told"
    assert found.predicted[0].value < 0.1
    assert found.lost == ("shift",)
    assert not recover(probe, *held, held[1], actions[240:], groups=range(40)).lost


def test_choices_are_told_by_number() -> None:
    choices = np.random.default_rng(0).integers(1, 3, 120)
    before, after = bars(np.where(choices == 1, -8, 8), 2)
    space = gym.spaces.Discrete(2, start=1)
    probe = learn_probe(before[:90], after[:90], list(choices[:90]), space=space, epochs=30)
    found = recover(
        probe, before[90:], after[90:], after[90:], list(choices[90:]), groups=range(30)
    )
    assert (found.kind, found.names) == ("accuracy", ("choice",))
    assert found.ceiling[0] > 0.9
    assert 0.5 <= found.chance < 0.8
    assert found.lost == ()
    still = recover(
        probe, before[90:], after[90:], before[90:], list(choices[90:]), groups=range(30)
    )
    assert still.predicted[0].value > 0, "guessing is right at times"
    assert still.lost == ("choice",)


def test_words_have_no_probe() -> None:
    words = gym.spaces.Text(20)
    assert not probes_for(words)
    frames = np.zeros((1, 96, 96, 3), np.uint8)
    with pytest.raises(InvalidConfig, match="numbers or choices"):
        learn_probe(frames, frames, ["left"], space=words)
