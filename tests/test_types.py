from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest

from chronosim.errors import InvalidConfig, InvalidFrame
from chronosim.types import EditPrompt, Observation, Prediction

FRAME = np.zeros((4, 6, 3), np.uint8)
NOT_FRAMES = [
    (np.zeros((4, 6, 4), np.uint8), r"uint8 of shape \(4, 6, 4\)"),
    (np.zeros((4, 6), np.uint8), r"uint8 of shape \(4, 6\)"),
    (np.zeros((4, 6, 3), np.float32), "not float32"),
    (np.zeros((0, 6, 3), np.uint8), r"\(0, 6, 3\)"),
    ([[[0, 0, 0]]], "not list"),
]


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize(("frame", "sentence"), NOT_FRAMES)
def test_only_rgb_uint8_is_a_frame(frame: Any, sentence: str) -> None:
    for make in (
        lambda: Observation(frame),
        lambda: EditPrompt(frame, "straight", 0),
    ):
        with pytest.raises(InvalidFrame, match=sentence) as caught:
            make()
        assert isinstance(caught.value, ValueError)


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize(
    ("trajectory", "sentence"),
    [
        (FRAME, r"\(time, height, width, 3\), not \(4, 6, 3\)"),
        (np.zeros((0, 4, 6, 3), np.uint8), "at least the outcome"),
        (np.zeros((2, 4, 6, 3), np.float32), "not float32"),
        (None, "not None"),
    ],
)
def test_only_frames_make_a_trajectory(trajectory: Any, sentence: str) -> None:
    with pytest.raises(InvalidFrame, match=sentence):
        Prediction(trajectory)


def test_outcome_is_the_last_frame() -> None:
    trajectory = np.stack([FRAME, FRAME + 1])
    assert Prediction(trajectory).frame.min() == 1


def test_values_cannot_be_changed() -> None:
    observation = Observation(FRAME)
    with pytest.raises(FrozenInstanceError):
        observation.step = 1  # type: ignore[misc]
    assert observation.state.shape == (0,)
    assert not observation.state.flags.writeable  # it is shared by all that have no state
    with pytest.raises(TypeError):
        Prediction(FRAME[None]).metrics["loss"] = 1.0  # type: ignore[index]


@pytest.mark.parametrize("seed", [np.int64(3), np.uint8(3), 3])
def test_seeds_of_numpy_are_pythons(seed: int, as_users_run_it: None) -> None:
    prompt = EditPrompt(np.zeros((2, 2, 3), np.uint8), "", seed)
    assert type(prompt.seed) is int
    assert prompt.seed == 3
    assert EditPrompt(prompt.frame, "", 2**63 - 1).seed == 2**63 - 1


@pytest.mark.parametrize("seed", [2**63, 2**64, -1, np.int64(-1), 1.0, True, np.bool(True), "1"])
def test_seeds_out_of_range_are_refused(seed: int, as_users_run_it: None) -> None:
    with pytest.raises(InvalidConfig, match=r"a seed must .*not"):
        EditPrompt(np.zeros((2, 2, 3), np.uint8), "", seed)
