from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from chronosim.envs.chrono_env import ChronoEnv
from chronosim.errors import InvalidAction, InvalidConfig, InvalidModel
from chronosim.prompters.driving import Driving
from chronosim.seeds import generator, noise_seed
from chronosim.types import EditPrompt, Frame, Observation, Prediction, Step
from chronosim.world import World

STRAIGHT, LEFT, BRAKE = (
    np.array(action, np.float32) for action in ([0, 0.2, 0], [-0.5, 0.1, 0], [0, 0, 1])
)


@dataclass(frozen=True, slots=True)
class NoiseModel:
    """Adds noise of its seed to the frame, and the length of the words; notes each call."""

    calls: list[list[EditPrompt]] = field(default_factory=list)
    rewrites: bool = False

    @property
    def identity(self) -> dict[str, Any]:
        return {"name": "noise"}

    def predict(self, prompts: Sequence[EditPrompt]) -> list[Prediction]:
        self.calls.append(list(prompts))
        return [self._answer(prompt) for prompt in prompts]

    def _answer(self, prompt: EditPrompt) -> Prediction:
        noise = np.random.default_rng(prompt.seed).integers(0, 9, prompt.frame.shape, np.uint8)
        frame = prompt.frame + noise + np.uint8(len(prompt.text))
        return Prediction(frame[None], text=prompt.text.upper() if self.rewrites else None)


@pytest.fixture
def world() -> World:
    return World(NoiseModel(), Driving())


@pytest.fixture
def start() -> Observation:
    return Observation(np.zeros((8, 8, 3), np.uint8), np.array([10.0], np.float32), 4)


def frames(branch: list[Step]) -> list[list[int]]:
    return [step.after.frame.ravel().tolist() for step in branch]


def test_step(world: World, start: Observation) -> None:
    step = world.step(start, STRAIGHT, seed=3)
    after, prediction = step.after, step.prediction
    assert after.step == 5
    assert after.state[0] > 10
    assert np.array_equal(after.frame, prediction.frame)
    assert prediction.text == (
        "The car drives at 10 m/s. Steer straight with 20% throttle and 0% brake."
    )
    assert start.frame.max() == 0
    again = world.step(start, STRAIGHT, seed=3).after
    other = world.step(start, STRAIGHT, seed=4).after
    assert np.array_equal(after.frame, again.frame)
    assert not np.array_equal(after.frame, other.frame)


def test_words_that_the_model_rewrote_are_kept(start: Observation) -> None:
    world = World(NoiseModel(rewrites=True), Driving())
    text = world.step(start, STRAIGHT, seed=0).text
    assert text is not None
    assert text.startswith("THE CAR")


def test_step_all_is_one_call_and_each_step(world: World, start: Observation) -> None:
    other = Observation(start.frame + 50, np.array([2.0], np.float32), 1)
    together = world.advance([start, other], [STRAIGHT, LEFT], seeds=[1, 2])
    assert [len(call) for call in world.model.calls] == [2]  # type: ignore[attr-defined]
    alone = [world.step(start, STRAIGHT, seed=1), world.step(other, LEFT, seed=2)]
    assert frames(together) == frames(alone)
    assert [step.after.step for step in together] == [5, 2]
    assert world.advance([], [], seeds=[]) == []


@dataclass(frozen=True, slots=True)
class Bright:
    """Begins in the dark at 7 m/s; the goal is a bright frame."""

    instruction: str = "Find the light."

    def begin(self, rng: np.random.Generator) -> tuple[Frame, dict[str, float]]:
        return np.full((8, 8, 3), rng.integers(9), np.uint8), {"speed": 7.0}

    def score(
        self, before: Observation, action: Any, prediction: Prediction, after: Observation
    ) -> tuple[float, bool]:
        return float(after.frame.mean()) / 255, False

    def succeeded(self, reward: float, terminated: bool) -> bool:
        return reward > 0.4


def test_an_episode_begins_as_in_the_environment_also_with_a_frame_of_ones_own() -> None:
    env = ChronoEnv(NoiseModel(), Driving(), Bright())
    mine = np.full((8, 8, 3), 200, np.uint8)
    for given in ({}, {"frame": mine}, {"frame": mine, "values": {"speed": 3.0}}):
        env.reset(seed=3, options=given)
        first, noise = env.world.begin(generator(3), **given)
        assert np.array_equal(first.frame, env.observation.frame)
        assert np.array_equal(first.state, env.observation.state)
        assert env.ask()[1] == noise_seed(noise, 0)
        assert first.state[0] == {0: 7.0, 1: 0.0, 2: 3.0}[len(given)], "values of another frame"
    with pytest.raises(InvalidConfig, match="pass frame="):
        World(NoiseModel(), Driving()).begin(generator(0))


def test_a_step_says_how_it_ended_and_whether_it_reached_the_goal(start: Observation) -> None:
    world = World(NoiseModel(), Driving(), Bright(), horizon=6)
    assert world.instruction == "Find the light."
    bright = Observation(start.frame + 150, start.state, start.step)
    first, second = world.advance([start, bright], [STRAIGHT, STRAIGHT], seeds=[0, 1])
    assert (first.success, second.success) == (False, True)
    assert (first.truncated, first.ended, first.truncation_reason) == (False, False, None)
    last = world.step(first.after, STRAIGHT, seed=0)
    assert (last.truncated, last.ended, last.truncation_reason) == (True, True, "horizon")
    assert last.before is first.after
    assert World(NoiseModel(), Driving()).step(start, STRAIGHT, seed=0).success is None


def test_imagine_is_step_after_step(world: World, start: Observation) -> None:
    branch = world.imagine(start, [STRAIGHT, LEFT], seed=7)
    first = world.step(start, STRAIGHT, seed=noise_seed(7, 0))
    second = world.step(first.after, LEFT, seed=noise_seed(7, 1))
    assert frames(branch) == frames([first, second])
    assert [step.after.step for step in branch] == [5, 6]


def test_what_if_branches_differ_only_by_their_actions(world: World, start: Observation) -> None:
    plans = [[STRAIGHT, LEFT, LEFT], [STRAIGHT], [BRAKE, LEFT], []]
    branches = world.what_if(start, plans, seed=7)
    calls = world.model.calls  # type: ignore[attr-defined]
    assert [len(call) for call in calls] == [3, 2, 1]  # one call per depth
    assert all(len({prompt.seed for prompt in call}) == 1 for call in calls)
    assert len({call[0].seed for call in calls}) == 3
    assert [len(branch) for branch in branches] == [3, 1, 2, 0]
    assert frames(branches[0])[:1] == frames(branches[1])
    assert frames(branches[0]) != frames(branches[2])
    for plan, branch in zip(plans, branches, strict=True):
        assert frames(world.imagine(start, plan, seed=7)) == frames(branch)
    assert world.what_if(start, [], seed=0) == []


def test_noise_seed() -> None:
    seeds = {noise_seed(seed, depth) for seed in range(20) for depth in range(20)}
    assert len(seeds) == 400
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert noise_seed(2**63 - 1, 3) == noise_seed(2**63 - 1, 3)


def test_wrong_action_reaches_no_model(world: World, start: Observation) -> None:
    with pytest.raises(InvalidAction):
        world.advance([start, start], [STRAIGHT, "left"], seeds=[0, 1])
    assert world.model.calls == []  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        ([], "broken gave 0 predictions for 1 prompts"),
        ([Prediction(np.zeros((1, 4, 4, 3), np.uint8))], r"shape \(4, 4, 3\)"),
    ],
)
def test_models_that_break_their_contract(
    start: Observation, answers: list[Prediction], sentence: str
) -> None:
    class Broken:
        identity = {"name": "broken"}  # noqa: RUF012

        def predict(self, prompts: Sequence[EditPrompt]) -> list[Prediction]:
            return answers

    with pytest.raises(InvalidModel, match=sentence):
        World(Broken(), Driving()).step(start, STRAIGHT, seed=0)


def test_nan_is_an_error_and_never_a_black_frame(start: Observation) -> None:
    class Overflown:
        identity = {"name": "overflown"}  # noqa: RUF012

        def predict(self, prompts: Sequence[EditPrompt]) -> list[Prediction]:
            frame = prompts[0].frame[None] * np.float32("nan")
            return [Prediction(frame.astype(np.uint8))]

    class Unsure:
        identity = {"name": "unsure"}  # noqa: RUF012

        def predict(self, prompts: Sequence[EditPrompt]) -> list[Prediction]:
            return [Prediction(prompts[0].frame[None].copy(), metrics={"trust": np.nan})]

    for model, sentence in (
        (Overflown(), "overflown made NaN where it should predict: invalid value encountered"),
        (Unsure(), "unsure gave NaN as the metric 'trust'"),
    ):
        with pytest.raises(InvalidModel, match=sentence):
            World(model, Driving()).step(start, STRAIGHT, seed=0)
