from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronosim.envs.make import make_env, make_vector_env
from chronosim.envs.record_vector import RecordRows
from chronosim.episodes import EpisodeReader
from chronosim.errors import EpisodeExists, EpisodeWriteError, InvalidAction, ResetNeeded

AHEAD = np.array([0, 0.2, 0], np.float32)
LEFT = np.array([-0.3, 0.2, 0], np.float32)


def test_a_row_is_the_episode_of_a_lone_environment(shift: Any, tmp_path: Path) -> None:
    rows = RecordRows(make_vector_env(3, shift, horizon=3), tmp_path)
    rows.begin(0, "a", seed=5, about={"mine": 1})
    rows.begin(2, "b", seed=6, about={})
    rows.step({0: AHEAD, 2: LEFT})
    rows.step({2: LEFT})  # a row may stand still
    rows.step({0: AHEAD, 2: LEFT})
    rows.begin(2, "c", seed=6, about={})
    assert list(rows.step({0: AHEAD, 2: AHEAD})) == [0, 2]
    for name, seed, action in (("a", 5, AHEAD), ("b", 6, LEFT)):
        reader, env = EpisodeReader(tmp_path / name), make_env(shift, horizon=3)
        assert (reader.finished, reader.steps, reader.about["seed"]) == (True, 3, seed)
        assert np.array_equal(reader.frames[0], env.reset(seed=seed)[0]["image"])
        for index in range(3):
            _, reward, _, truncated, info = env.step(action)
            step = reader.step(index)
            assert np.array_equal(step.prediction.trajectory, info["trajectory"])
            assert np.array_equal(step.after.state, env.observation.state)
            assert (step.text, step.seed) == (info["text"], info["seed"])
            assert (step.reward, step.truncated) == (reward, truncated)
            assert step.latency >= 0
    about = EpisodeReader(tmp_path / "a").about
    assert (about["mine"], about["model"]["name"], about["synthetic"]) == (1, "shift", True)
    assert about["seconds_per_step"] == pytest.approx(0.36)
    unfinished = EpisodeReader(tmp_path / "c")
    assert (unfinished.finished, unfinished.steps) == (False, 1)


def test_rows_without_an_episode_cost_nothing(tmp_path: Path) -> None:
    class Counting:
        identity = {"name": "counting"}  # noqa: RUF012
        asked: list[int] = []  # noqa: RUF012

        def predict(self, prompts: Any) -> Any:
            from chronosim.testing import EchoModel

            self.asked.append(len(prompts))
            return EchoModel().predict(prompts)

    rows = RecordRows(make_vector_env(4, Counting()), tmp_path)
    for row in (1, 3):
        rows.begin(row, f"{row}", seed=row, about={})
    rows.step({1: AHEAD, 3: AHEAD})
    rows.step({3: AHEAD})
    assert Counting.asked == [2, 1]


def test_a_refused_action_leaves_all_rows_as_they_were(shift: Any, tmp_path: Path) -> None:
    rows = RecordRows(make_vector_env(2, shift), tmp_path)
    for row in range(2):
        rows.begin(row, f"{row}", seed=row, about={})
    with pytest.raises(InvalidAction):
        rows.step({0: AHEAD, 1: AHEAD * np.nan})
    assert [rows.observation(row).step for row in range(2)] == [0, 0]
    rows.step({0: AHEAD, 1: AHEAD})
    assert [EpisodeReader(tmp_path / f"{row}").steps for row in range(2)] == [1, 1]


def test_what_was_not_begun_or_is_there_already(shift: Any, tmp_path: Path) -> None:
    rows = RecordRows(make_vector_env(2, shift), tmp_path)
    with pytest.raises(ResetNeeded, match="no episode is being recorded in row 1"):
        rows.step({1: AHEAD})
    for row in range(2):
        rows.begin(row, "a", seed=0, about={})
    rows.env.world = replace(rows.env.world, horizon=1)
    with pytest.raises(EpisodeExists, match="was finished first"):
        rows.step({0: AHEAD, 1: AHEAD})
    with pytest.raises(EpisodeExists, match="already"):
        rows.begin(0, "a", seed=0, about={})


def test_a_refused_step_ends_its_episode(
    shift: Any, tmp_path: Path, full_disk: Callable[[int], Any]
) -> None:
    rows = RecordRows(make_vector_env(1, shift), tmp_path)
    rows.begin(0, "a", seed=0, about={})
    rows.step({0: AHEAD})
    with full_disk(64), pytest.raises(EpisodeWriteError):
        rows.step({0: AHEAD})
    with pytest.raises(ResetNeeded):
        rows.step({0: AHEAD})
    assert EpisodeReader(tmp_path / "a").steps == 1
