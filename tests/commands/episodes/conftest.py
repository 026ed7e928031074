from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronosim.episodes import EpisodeWriter, Step
from chronosim.types import Observation, Prediction

Write = Callable[..., Path]


def frame(grey: int) -> np.ndarray:
    return np.full((16, 24, 3), grey % 256, np.uint8)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes an episode of some steps: greys that count up, rewards 1, 2, 3 ..."""

    def write(
        name: str,
        steps: int,
        *,
        close: bool = True,
        compact: bool = True,
        action: Any = None,
        text: str | None = None,
        reward: float | None = None,
        **about: Any,
    ) -> Path:
        path = tmp_path / "data" / name
        told = {
            "source": "chronosim",
            "synthetic": True,
            "model": {"name": "toy"},
            "policy": "Straight(speed=3)",
            "seed": int(name),
            "seconds_per_step": 0.5,
            **about,
        }
        first = Observation(frame(0), np.zeros(1, np.float32))
        writer = EpisodeWriter(path, first, told, compact=compact)
        for index in range(steps):
            grey = 10 * (index + 1)
            trajectory = np.stack([frame(grey - 5), frame(grey)])
            state = np.full(1, index, np.float32)
            writer.append(
                Step(
                    before=first,
                    action=np.array([0.25, index], np.float32) if action is None else action,
                    text=text or f"Go to {grey}.",
                    seed=index,
                    prediction=Prediction(trajectory),
                    after=Observation(trajectory[-1], state, index + 1),
                    reward=float(index + 1) if reward is None else reward,
                    terminated=close and index + 1 == steps,
                    truncated=False,
                    latency=0.25,
                )
            )
        if close:
            writer.close()
        return path

    return write


@pytest.fixture
def dataset(write: Write) -> Path:
    """Three episodes: of 2, 4 and 3 steps."""
    for name, steps in (("0000000", 2), ("0000001", 4), ("0000002", 3)):
        write(name, steps)
    return write("0000003", 1).parent


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
