from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronosim.episodes import EpisodeReader, EpisodeWriter, Step
from chronosim.types import Frame, Observation, Prediction

SIZE = (8, 10, 3)


def picture(value: int) -> Frame:
    return np.random.default_rng(value).integers(0, 256, SIZE, np.uint8)


def observed(step: int) -> Observation:
    return Observation(picture(1000 + step), np.array([step, step / 2], np.float32), step)


def taken(index: int, time: int = 3) -> Step:
    after = observed(index + 1)
    between = [picture(10 * index + moment) for moment in range(time - 1)]
    action = np.array([index, -0.5, 0.25], np.float32)
    prediction = Prediction(np.stack([*between, after.frame]))
    before, text = observed(index), f"Step {index}"
    return Step(before, action, text, index, prediction, after, 0.1 * index, False, False, 0.01)


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes `count` steps as an episode under a name; more settings go to the writer."""

    def _write(name: str, count: int = 20, *, finish: bool = True, **settings: Any) -> Path:
        path = tmp_path / name
        writer = EpisodeWriter(path, observed(0), {"seed": 3}, **settings)
        for index in range(count):
            writer.append(taken(index))
        if finish:
            writer.close()
        return path

    return _write


@pytest.fixture
def check_steps() -> Callable[..., None]:
    """Checks that an episode holds what `write` wrote, from a step on; `short`: outcome alone."""

    def _check(path: Path, first: int = 0, short: tuple[int, ...] = ()) -> None:
        reader = EpisodeReader(path)
        assert np.array_equal(reader.observation(0).frame, observed(first).frame)
        for index, step in enumerate(reader, first):
            ours = taken(index)
            trajectory = ours.prediction.trajectory
            expected = trajectory[-1:] if index in short else trajectory
            assert np.array_equal(step.prediction.trajectory, expected)
            assert np.array_equal(step.action, ours.action)
            assert np.array_equal(step.after.state, ours.after.state)
            assert (step.text, step.seed, step.reward) == (ours.text, ours.seed, ours.reward)

    return _check
