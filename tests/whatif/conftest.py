"""A world small enough to know the answers: a light that actions move along a line of places."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from chronosim import EditPrompt, Observation, Prediction, World
from chronosim.errors import InvalidAction
from chronosim.prompters.wording import check_names
from chronosim.types import Frame, State
from chronosim.whatif import Grower, Plan, Tree
from chronosim.whatif.store import TreeStore

PLACES, SIDE = 12, 24
GOAL, HOLE = 11, 0


def place_of(frame: Frame) -> int:
    return int(frame[: SIDE // 2, :, 0].mean(0).argmax()) // 2


@dataclass
class Light:
    """Moves the light by the number in the words; below it is noise of the seed's."""

    calls: list[list[EditPrompt]] = field(default_factory=list)
    break_off: int | None = None
    identity: Mapping[str, Any] = field(default_factory=lambda: {"name": "light"})

    def predict(self, prompts: Sequence[EditPrompt]) -> list[Prediction]:
        if self.break_off is not None and len(self.calls) >= self.break_off:
            raise KeyboardInterrupt
        self.calls.append(list(prompts))
        return [self._answer(prompt) for prompt in prompts]

    def _answer(self, prompt: EditPrompt) -> Prediction:
        place = min(max(place_of(prompt.frame) + int(prompt.text.split()[-1]), 0), PLACES - 1)
        noise = np.random.default_rng(prompt.seed).integers(0, 40, (2, SIDE // 2, SIDE, 3))
        frames = np.stack([draw(place)] * 2)
        frames[:, SIDE // 2 :] = noise
        return Prediction(frames)

    @property
    def asked(self) -> int:
        return sum(map(len, self.calls))


def draw(place: int) -> Frame:
    frame = np.zeros((SIDE, SIDE, 3), np.uint8)
    frame[: SIDE // 2, 2 * place : 2 * place + 2] = 255
    return frame


@dataclass
class Mover:
    """Goes left, stays, or goes right; keeps how many steps it went, and no more."""

    seconds_per_step: float | None = 0.5
    action_space: gym.Space[Any] = field(default_factory=lambda: gym.spaces.Discrete(3))
    state_space: gym.spaces.Box = field(
        default_factory=lambda: gym.spaces.Box(0, np.inf, (1,), np.float32)
    )

    def __repr__(self) -> str:
        return "Mover()"

    def begin(self, values: Mapping[str, float]) -> State:
        check_names(values, ("gone",))
        return np.array([values.get("gone", 0)], np.float32)

    def __call__(self, observation: Observation, action: Any) -> tuple[str, State]:
        if action not in self.action_space:
            raise InvalidAction(f"{action!r} is no way")
        value = float(np.ravel(action)[0]) - (
            1 if isinstance(self.action_space, gym.spaces.Discrete) else 0
        )
        return f"go {round(value)}", observation.state + np.float32(abs(round(value)))


@dataclass
class Reach:
    """The nearer the goal the better; at the goal, and in the hole, it ends."""

    def begin(self, rng: np.random.Generator) -> tuple[Frame, Mapping[str, float]]:
        return draw(5), {}

    def score(
        self, before: Observation, action: Any, prediction: Prediction, after: Observation
    ) -> tuple[float, bool]:
        place = place_of(after.frame)
        return place / GOAL, place in (GOAL, HOLE)


def grow(
    world: World,
    root: Observation,
    plans: Mapping[str, Sequence[Any]],
    *,
    seed: int = 0,
    dataset: Path | str | None = None,
) -> Tree:
    """Plays plans out, into a data set where one is given; no pictures are drawn."""
    named = [Plan.of(name, actions) for name, actions in plans.items()]
    if dataset is None:
        return Tree(root, tuple(Grower(world, root, seed=seed).grow(named)))
    about = {**world.about(seed=seed), "root_step": root.step}
    with TreeStore(Path(dataset), root, about) as store:
        return Tree(root, tuple(Grower(world, root, seed=seed, store=store).grow(named)))


@pytest.fixture(name="grow")
def grow_fixture() -> Callable[..., Tree]:
    return grow


@pytest.fixture
def light() -> Light:
    return Light()


@pytest.fixture
def world(light: Light) -> World:
    return World(light, Mover(), Reach())


@pytest.fixture
def root() -> Observation:
    return Observation(draw(5), np.zeros(1, np.float32), 7)


@pytest.fixture
def draw_place() -> Callable[[int], Frame]:
    return draw
