"""Each check passes on what keeps the contract, and names the clause that a breaker breaks."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronosim.episodes import EpisodeWriter, Step
from chronosim.errors import EpisodeNotFound, InvalidAction, InvalidConfig, InvalidPrompt
from chronosim.prompters.driving import Driving
from chronosim.scenarios.carracing import CarRacingScenario
from chronosim.testing import (
    EchoModel,
    ReplayModel,
    check_prompter,
    check_scenario,
    check_world_model,
)
from chronosim.types import EditPrompt, Frame, Observation, Prediction, State

RNG = np.random.default_rng(0)
PROMPTS = [
    EditPrompt(RNG.integers(0, 255, (8, 8, 3), np.uint8), text, seed)
    for seed, text in enumerate(("straight", "left", "right"))
]


@pytest.fixture
def episode(tmp_path: Path) -> Path:
    """Two steps of two frames each; the second goes on from the same frame in the same words."""
    first = Observation(PROMPTS[0].frame)
    with EpisodeWriter(tmp_path / "episode", first, {}) as writer:
        for seed in (5, 6):
            frames = np.stack([first.frame + np.uint8(seed), first.frame])
            after = Observation(first.frame, step=seed - 4)
            prediction = Prediction(frames)
            writer.append(Step(first, "go", "go", seed, prediction, after, 0.0, False, False))
    return tmp_path / "episode"


def test_echo() -> None:
    check_world_model(EchoModel(time=3), PROMPTS)
    [prediction] = EchoModel(time=3).predict(PROMPTS[:1])
    assert prediction.trajectory.shape == (3, 8, 8, 3)
    assert (prediction.trajectory == PROMPTS[0].frame).all()
    with pytest.raises(InvalidConfig, match="not 0"):
        EchoModel(time=0)


def test_replay(episode: Path) -> None:
    model = ReplayModel(episode)
    prompts = [EditPrompt(PROMPTS[0].frame, "go", seed) for seed in (6, 5, 99)]
    check_world_model(model, prompts)
    between = [prediction.trajectory[0] for prediction in model.predict(prompts)]
    expected = [PROMPTS[0].frame + np.uint8(seed) for seed in (6, 5, 5)]  # 99 takes the earliest
    assert np.array_equal(between, expected)
    assert model.identity == {"name": "replay", "episodes": ["episode"]}


def test_replay_of_what_never_happened(episode: Path, tmp_path: Path) -> None:
    model = ReplayModel(episode)
    for prompt in (replace(PROMPTS[0], text="stop"), replace(PROMPTS[1], text="go")):
        with pytest.raises(InvalidPrompt, match=f"the words {prompt.text!r}"):
            model.predict([prompt])
    with pytest.raises(EpisodeNotFound):
        ReplayModel(tmp_path / "nothing")


class Spoilt:
    """A world model made of one function, each spoiling one clause."""

    def __init__(self, predict: Callable[[Sequence[EditPrompt]], Any], **identity: Any) -> None:
        self.identity = {"name": "spoilt", **identity}
        self.predict = predict


ECHO = EchoModel().predict
CLOCK = itertools.count()


def one_too_few(prompts: Sequence[EditPrompt]) -> list[Prediction]:
    return ECHO(prompts)[:-1]


def smaller(prompts: Sequence[EditPrompt]) -> list[Prediction]:
    return [Prediction(prompt.frame[None, :4].copy()) for prompt in prompts]


def sorted_by_words(prompts: Sequence[EditPrompt]) -> list[Prediction]:
    return ECHO(sorted(prompts, key=lambda prompt: prompt.text))


def forgetful(prompts: Sequence[EditPrompt]) -> list[Prediction]:
    return [Prediction(prompt.frame[None] ^ np.uint8(next(CLOCK) % 256)) for prompt in prompts]


def by_company(prompts: Sequence[EditPrompt]) -> list[Prediction]:
    return [Prediction(prompt.frame[None] ^ np.uint8(len(prompts))) for prompt in prompts]


def scribbling(prompts: Sequence[EditPrompt]) -> list[Prediction]:
    answers = ECHO(prompts)
    for prompt in prompts:
        prompt.frame[:] ^= 1
    return answers


def black(prompts: Sequence[EditPrompt]) -> list[Prediction]:
    """As a model's frames become whose numbers ran over."""
    return [Prediction((prompt.frame[None] * np.nan).astype(np.uint8)) for prompt in prompts]


def unsure(prompts: Sequence[EditPrompt]) -> list[Prediction]:
    return [replace(prediction, metrics={"trust": float("nan")}) for prediction in ECHO(prompts)]


def sharing(prompts: Sequence[EditPrompt]) -> list[Prediction]:
    return [Prediction(prompt.frame[None]) for prompt in prompts]


@pytest.mark.parametrize(
    ("model", "clause"),
    [
        (Spoilt(one_too_few), "each prompt gets one prediction"),
        (Spoilt(smaller), "keep the prompt's size"),
        (Spoilt(sorted_by_words), "keep the order"),
        (Spoilt(forgetful), "same seed gives the same frames"),
        (Spoilt(by_company), "alone is answered as in a call"),
        (Spoilt(scribbling), "left as it is"),
        (Spoilt(sharing), "memory of its own"),
        (Spoilt(black), r"frames are made of numbers: .* invalid value encountered in cast"),
        (Spoilt(unsure), "none of them NaN"),
        (Spoilt(lambda prompts: tuple(ECHO(prompts))), "no prompts get no predictions"),
        (Spoilt(ECHO, name=None), "has a name"),
        (object(), "`identity` and `predict`"),
    ],
)
@pytest.mark.usefixtures("as_users_run_it")
def test_world_models_that_break_a_clause(model: Any, clause: str) -> None:
    prompts = [replace(prompt, frame=prompt.frame.copy()) for prompt in PROMPTS]
    with pytest.raises(AssertionError, match=clause):
        check_world_model(model, prompts)


def test_tolerance_is_in_grey_levels() -> None:
    model = Spoilt(by_company)  # 1 and 3 differ by 2
    check_world_model(model, PROMPTS, tolerance=2)
    with pytest.raises(AssertionError):
        check_world_model(model, PROMPTS, tolerance=1)


@dataclass(frozen=True)
class SpoiltPrompter(Driving):
    """A driving prompter that spoils what it is told to."""

    spoils: str = ""

    def begin(self, values: Mapping[str, float]) -> State:
        return super().begin({} if self.spoils == "unknown" else values)

    def __call__(self, observation: Observation, action: Any) -> tuple[str, State]:
        try:
            text, state = super().__call__(observation, action)
        except InvalidAction:
            if self.spoils == "wrong action":
                return "straight", observation.state
            raise
        if self.spoils == "scribbles":
            observation.state[:] += 1
        if self.spoils == "forgets":
            text += str(next(CLOCK))
        return "" if self.spoils == "silent" else text, state + 1e6 * (self.spoils == "far")


@pytest.mark.parametrize(
    ("spoils", "clause"),
    [
        ("unknown", "an unknown value is refused with InvalidConfig"),
        ("wrong action", "None is refused with InvalidAction"),
        ("scribbles", "left as it is"),
        ("forgets", "the same again is the same"),
        ("silent", "gets words"),
        ("far", "within the state space"),
    ],
)
@pytest.mark.usefixtures("as_users_run_it")
def test_prompters_that_break_a_clause(spoils: str, clause: str) -> None:
    with pytest.raises(AssertionError, match=clause):
        check_prompter(SpoiltPrompter(spoils=spoils))


class SpoiltScenario:
    """Begins at a grey frame and spoils what it is told to."""

    def __init__(self, spoils: str) -> None:
        self.spoils = spoils
        self.frame = np.full((96, 96, 3), 100, np.uint8)

    def begin(self, rng: np.random.Generator) -> tuple[Frame, Mapping[str, float]]:
        frame = self.frame if self.spoils == "shares" else self.frame.copy()
        if self.spoils == "forgets":
            frame = frame + np.uint8(next(CLOCK) % 256)
        if self.spoils == "sizes":
            size = int(rng.integers(8, 96))
            frame = frame[:size].copy()
        return frame, {}

    def score(
        self, before: Observation, action: Any, prediction: Prediction, after: Observation
    ) -> tuple[float, bool]:
        if self.spoils == "scribbles":
            prediction.trajectory[:] ^= 1
        if self.spoils == "NaN":
            return float("nan"), False
        if self.spoils == "numpy":
            return 0.0, np.bool_(True)  # type: ignore[return-value]
        return float(next(CLOCK)) if self.spoils == "moody" else 0.0, False


@pytest.mark.parametrize(
    ("spoils", "clause"),
    [
        ("shares", "memory of its own"),
        ("forgets", "the same rng is the same"),
        ("sizes", "one size"),
        ("scribbles", "left as it is"),
        ("NaN", "finite float"),
        ("numpy", "is a bool"),
        ("moody", "scores the same"),
    ],
)
@pytest.mark.usefixtures("as_users_run_it")
def test_scenarios_that_break_a_clause(spoils: str, clause: str) -> None:
    with pytest.raises(AssertionError, match=clause):
        check_scenario(SpoiltScenario(spoils), Driving())


def test_a_scenario_that_does_not_fit_the_prompter() -> None:
    class Flying(CarRacingScenario):
        def begin(self, rng: np.random.Generator) -> tuple[Frame, Mapping[str, float]]:
            return np.zeros((96, 96, 3), np.uint8), {"height": 10.0}

    with pytest.raises(InvalidConfig, match="height"):
        check_scenario(Flying(), Driving())
