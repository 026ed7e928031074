from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronosim.episodes import EpisodeReader, EpisodeWriter, Step, list_episodes
from chronosim.types import Frame, Observation, Prediction

SECONDS = 0.36  # of a step
Maker = Callable[..., Path]
Made = Callable[[str, Callable[[Path], object]], Path]


def picture(seed: int, size: tuple[int, int]) -> Frame:
    """A smooth frame with some noise: like the world's, and unlike any other seed's."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (2, 2, 3)).astype(np.float64)
    wide = small.repeat(-(-size[0] // 2), 0).repeat(-(-size[1] // 2), 1)[: size[0], : size[1]]
    return (wide * 0.9 + rng.integers(0, 20, wide.shape)).astype(np.uint8)


def write_episode(
    path: Path,
    *,
    seed: int,
    steps: int = 4,
    time: int = 1,
    size: tuple[int, int] = (32, 36),
    states: int = 2,
    action: Callable[[np.random.Generator], Any] = lambda rng: rng.normal(size=3).astype("f4"),
    about: dict[str, Any] | None = None,
    reward: float | None = None,
    state: float | None = None,
) -> None:
    rng = np.random.default_rng(seed)
    said = {
        "seconds_per_step": SECONDS,
        "synthetic": True,
        "model": {"name": "nano"},
        "prompter": "Driving()",
        "seed": seed,
    }
    first = Observation(picture(seed * 1000, size), rng.normal(size=states).astype(np.float32))
    after = first
    with EpisodeWriter(path, first, said | (about or {})) as writer:
        for index in range(steps):
            frames = [picture(seed * 1000 + index * 10 + at + 1, size) for at in range(time)]
            drawn = rng.normal(size=states).astype(np.float32)
            values = drawn if state is None else np.full_like(drawn, state)
            before, after = after, Observation(frames[-1], values, index + 1)
            writer.append(
                Step(
                    before=before,
                    action=action(rng),
                    text=f"Step {index % 3}: links, rechts und größer",
                    seed=2**40 + index,
                    prediction=Prediction(np.stack(frames)),
                    after=after,
                    reward=0.1 * index - 0.05 if reward is None else reward,
                    terminated=index == steps - 1 and seed % 2 == 0,
                    truncated=index == steps - 1 and seed % 2 == 1,
                    latency=0.01 * index,
                    success=None if index == 0 else index == steps - 1,
                )
            )


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Makes a folder the first time it is asked for: writing takes far longer than copying."""
    root = tmp_path_factory.mktemp("made")
    names: dict[str, Path] = {}

    def make(name: str, write: Callable[[Path], object]) -> Path:
        if name not in names:
            names[name] = root / str(len(names))
            write(names[name])
        return names[name]

    return make


@pytest.fixture
def dataset(tmp_path: Path, made: Made) -> Maker:
    """Makes a data set of two episodes, of 4 and 6 steps; settings as `write_episode` has them."""

    def write(folder: Path, settings: dict[str, Any]) -> None:
        for seed, steps in ((2, 4), (3, 6)):
            told = {"seed": seed, "steps": steps} | settings
            write_episode(folder / f"{seed:07d}", **told)

    def make(name: str = "source", **settings: Any) -> Path:
        if any(map(callable, settings.values())):  # functions have no name to be known by
            write(tmp_path / name, settings)
        else:
            kept = made(repr(sorted(settings.items())), lambda folder: write(folder, settings))
            shutil.copytree(kept, tmp_path / name)
        return tmp_path / name

    return make


def readers(dataset: Path) -> list[EpisodeReader]:
    return [EpisodeReader(path) for path in list_episodes(dataset)]


def assert_same_steps(
    ours: EpisodeReader, theirs: EpisodeReader, *, without: tuple[str, ...] = (), tolerance: int = 0
) -> None:
    """Every step of two episodes alike, but for what a format has no place for."""
    assert ours.steps == theirs.steps
    for name in (
        "action",
        "text",
        "seed",
        "reward",
        "terminated",
        "truncated",
        "latency",
        "states",
    ):
        if name not in without:
            mine, other = ours.column(name), theirs.column(name)
            assert mine.dtype.kind == other.dtype.kind, name
            np.testing.assert_array_equal(mine, other, err_msg=name)
    for index in range(ours.steps):
        mine, other = ours.trajectory(index), theirs.trajectory(index)
        assert mine.shape == other.shape
        assert np.abs(mine.astype(int) - other).max() <= tolerance
    if "success" not in without:
        np.testing.assert_array_equal(ours.success, theirs.success)
    first = ours.observation(0).frame.astype(int) - theirs.observation(0).frame
    assert np.abs(first).max() <= tolerance
