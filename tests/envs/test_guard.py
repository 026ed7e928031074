"""A guard in every kind of environment, and the drift guard on a world of drawn frames."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import chronosim
from chronosim.envs.chrono_env import ChronoEnv
from chronosim.envs.guard import DriftGuard, describe, load_guard, shipped_guards
from chronosim.envs.make import make_env, make_vector_env
from chronosim.errors import InvalidConfig, InvalidFrame, ModelNotFound
from chronosim.scenarios.starts import load_starts
from chronosim.types import Frame

Make = Callable[..., gym.Env[Any, Any]]
STRAIGHT = np.array([0.0, 0.2, 0.0], np.float32)


class Patience:
    """Lets a number of frames pass, whatever they show; shared by whoever asks."""

    def __init__(self, frames: int) -> None:
        self.left = frames

    def __call__(self, frame: Frame) -> str | None:
        self.left -= 1
        return "bored" if self.left < 0 else None


def test_its_reason_truncates_and_is_told(made: Make) -> None:
    env = made(guard=Patience(1), horizon=2)
    env.reset(seed=0)
    _, _, _, truncated, info = env.step(STRAIGHT)
    assert not truncated
    assert "truncation_reason" not in info
    _, _, terminated, truncated, info = env.step(STRAIGHT)
    assert (terminated, truncated) == (False, True)
    assert info["truncation_reason"] == "bored", "at the horizon it still says what it saw"
    with pytest.raises(chronosim.errors.ResetNeeded):
        env.step(STRAIGHT)


def test_rows_and_forks_have_it_too(shift: Any, made: Make) -> None:
    rows = make_vector_env(2, shift, guard=Patience(3))
    rows.reset(seed=0)
    rows.step(np.stack([STRAIGHT] * 2))
    *_, truncated, infos = rows.step(np.stack([STRAIGHT] * 2))
    assert truncated.tolist() == [False, True]
    assert infos["truncation_reason"].tolist()[1] == "bored"
    guard = Patience(1)
    env = made(guard=guard)
    env.reset(seed=0)
    copied: Any = chronosim.fork(env)
    assert copied.unwrapped.world.guard is guard
    assert not copied.step(STRAIGHT)[3]
    assert env.step(STRAIGHT)[3]
    forked_rows: Any = chronosim.fork(rows)
    assert forked_rows.world is forked_rows.rows[0].world is rows.world


def test_it_is_no_part_of_an_end_that_the_scenario_calls(made: Make) -> None:
    def forbidden(frame: Frame) -> str | None:
        raise AssertionError("asked about an episode that is over")

    env: Any = made(guard=forbidden)
    env.reset(seed=0)
    ending: Any = type("Ending", (), dict.fromkeys(("begin", "score"), lambda *_: (0.0, True)))()
    env.unwrapped.world = replace(env.unwrapped.world, scenario=ending)
    *_, terminated, truncated, _ = env.step(STRAIGHT)
    assert (terminated, truncated) == (True, False)


@pytest.fixture(scope="module")
def episodes() -> list[Any]:
    """Frames of a world of coloured stripes, each episode with its own phase and light."""
    rng = np.random.default_rng(0)

    def film() -> Any:
        light, phase = rng.uniform(0.8, 1.0), rng.uniform(0, 6)
        waves = np.sin(np.arange(24)[None, :] / 3 + phase + np.arange(8)[:, None] / 4)
        frames = (120 + 90 * waves)[:, None, :, None] * light * np.array([1, 0.6, 0.3])
        grain = rng.normal(0, 2, (8, 24, 24, 3))
        return (frames + grain).clip(0, 255).astype(np.uint8)

    return [film() for _ in range(60)]


@pytest.fixture(scope="module")
def guard(episodes: list[Any]) -> DriftGuard:
    return DriftGuard.fit(episodes[:40], episodes[40:50], false_alarms=0.1, about="stripes")


def test_true_frames_pass_and_broken_ones_do_not(guard: DriftGuard, episodes: list[Any]) -> None:
    new = [frame for episode in episodes[50:] for frame in episode]
    assert np.mean([guard(frame) is not None for frame in new]) < 0.15
    frame = new[0]
    noise = np.random.default_rng(1).normal(0, 25, frame.shape)
    for broken in (
        (frame + noise).clip(0, 255).astype(np.uint8),
        np.roll(frame, 1, axis=2),  # the colours changed places
        np.full_like(frame, 100),
        frame // 3,
        frame.transpose(1, 0, 2).copy(),
    ):
        assert guard(broken) == "drift"


def test_the_limit_is_set_by_the_share_of_episodes(episodes: list[Any]) -> None:
    worst = []
    for share in (0.1, 0.5):
        made = DriftGuard.fit(episodes[:40], episodes[40:50], false_alarms=share)
        worst.append([max(made.distance(f) for f in e) > made.limit for e in episodes[40:50]])
    assert [sum(each) for each in worst] == [1, 5]


def test_it_is_kept_and_read(guard: DriftGuard, episodes: list[Any], tmp_path: Path) -> None:
    guard.save(tmp_path / "mine.npz")
    for again in (load_guard(tmp_path / "mine.npz"), load_guard(str(tmp_path / "mine.npz"))):
        assert again.distance(episodes[0][0]) == guard.distance(episodes[0][0])
        assert (again.size, again.limit, again.about) == (guard.size, guard.limit, "stripes")
    (tmp_path / "other.npz").write_text("none")
    with pytest.raises(InvalidConfig, match=r"other\.npz is no guard"):
        load_guard(tmp_path / "other.npz")
    with pytest.raises(
        ModelNotFound, match="there is no guard carrace: name a file, or one of: car"
    ):
        load_guard("carrace")


def test_what_it_cannot_work_with_is_said(guard: DriftGuard, episodes: list[Any]) -> None:
    with pytest.raises(InvalidFrame, match="knows frames of 24 x 24, not of 48 x 24"):
        guard(np.zeros((48, 24, 3), np.uint8))
    with pytest.raises(InvalidConfig, match=r"10 held-out episodes cannot show .* at least 100"):
        DriftGuard.fit(episodes[:40], episodes[40:50], false_alarms=0.01)
    with pytest.raises(InvalidConfig, match="8 frames are too few for 51 traits"):
        DriftGuard.fit(episodes[:1], episodes[40:50], false_alarms=0.1)
    with pytest.raises(InvalidConfig, match="between 0 and 1, not 0"):
        DriftGuard.fit(episodes[:40], episodes[40:], false_alarms=0)


def test_traits_say_what_changed(episodes: list[Any]) -> None:
    frame = episodes[0][0]
    traits = describe(frame)
    assert traits.dtype == np.float32
    np.testing.assert_allclose(traits[:3], frame.mean((0, 1)) / 255, rtol=1e-5)
    assert not np.array_equal(traits, describe(255 - frame))
    assert np.isfinite(describe(np.zeros((12, 12, 3), np.uint8))).all()


def test_the_guard_of_carracing_knows_its_world() -> None:
    assert "carracing" in shipped_guards()
    env = make_env("echo", guard="carracing", scenario="carracing")
    assert isinstance(env, ChronoEnv)
    assert isinstance(env.world.guard, DriftGuard)
    assert "CarRacing" in env.world.guard.about
    env.reset(seed=0)
    assert not env.step(STRAIGHT)[3], "a true frame passes"
    darker = (env.observation.frame * 0.8).astype(np.uint8)
    for wrong in (np.full((96, 96, 3), 120, np.uint8), darker):
        assert env.world.guard(wrong) == "drift"
    pusht = Path(chronosim.__file__).parent / "scenarios" / "starts" / "pusht.npz"
    assert {env.world.guard(frame) for frame in load_starts(pusht).frames[:8]} == {"drift"}
