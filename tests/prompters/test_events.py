"""Events that happen whatever the agent does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from chronosim.envs.chrono_env import ChronoEnv
from chronosim.errors import InvalidAction, InvalidConfig, InvalidPrompt
from chronosim.models.loading.load import load
from chronosim.prompters.driving import Driving
from chronosim.prompters.events import Event, Events
from chronosim.scenarios.carracing import CarRacingScenario
from chronosim.testing import EchoModel, check_prompter
from chronosim.types import Observation

FRAME = np.zeros((8, 8, 3), np.uint8)
CHILD: dict[str, Any] = {"step": 1, "text": "A child runs onto the road from the right."}
GUST = {"step": 3, "steps": 2, "add": [0.9, 0.0, 0.0]}
BRAKES = {"step": 0, "action": [0.0, 0.0, 1.0]}


def prompter(**events: Any) -> Events:
    return Events("driving", events)


def texts(prompter: Events, steps: int, action: Any = (0.2, 0.1, 0.0)) -> list[str]:
    env = ChronoEnv(EchoModel(), prompter, CarRacingScenario(), horizon=None)
    env.reset(seed=0)
    return [env.step(np.array(action, np.float32))[4]["text"] for _ in range(steps)]


def test_contract() -> None:
    check_prompter(prompter(child=CHILD, gust=GUST, brakes=BRAKES))


def test_words_follow_those_of_the_action_at_their_step_alone() -> None:
    plain, with_child = texts(prompter(), 3), texts(prompter(child=CHILD), 3)
    assert with_child == [plain[0], f"{plain[1]} {CHILD['text']}", plain[2]]


def test_an_action_takes_the_place_of_the_agents_and_the_state_follows_it() -> None:
    braking = prompter(brakes=BRAKES)
    seen = Observation(FRAME, np.array([20], np.float32))
    text, state = braking(seen, [0.2, 0.5, 0.0])
    same_text, same_state = Driving(foretells=True)(seen, [0.0, 0.0, 1.0])
    assert (text, state.tolist()) == (same_text, same_state.tolist())
    later = Observation(FRAME, np.array([20], np.float32), 1)
    assert braking(later, [0.2, 0.5, 0.0])[0] == Driving(foretells=True)(later, [0.2, 0.5, 0.0])[0]


def test_what_is_added_stays_within_the_actions_bounds() -> None:
    steered = [text.split("Steer ")[1].split(" with")[0] for text in texts(prompter(gust=GUST), 6)]
    assert steered == ["20% right"] * 3 + ["100% right"] * 2 + ["20% right"]


def test_events_come_again_and_several_at_once() -> None:
    skid = {"step": 1, "every": 3, "add": [-0.2, 0.0, 0.0]}
    child = {"step": 4, "text": "A child runs."}
    said = texts(prompter(skid=skid, child=child), 6)
    assert ["straight" in text for text in said] == [False, True, False, False, True, False]
    assert [text.endswith("A child runs.") for text in said] == [False] * 4 + [True, False]


def test_a_refused_action_is_refused_during_an_event_too() -> None:
    with pytest.raises(InvalidAction):
        prompter(brakes=BRAKES)(Observation(FRAME, np.array([0], np.float32)), [9, 9, 9])


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ({"step": 1}, "needs one of text, action and add"),
        ({"step": 1, "text": " "}, "needs one of"),
        ({"step": 1, "text": "Rain.", "action": [0, 0, 0]}, "needs one of"),
        ({"text": "Rain."}, "'oops' lacks 'step'"),
        ("rain", "'oops' is made of step, text"),
        ({"step": -1, "text": "Rain."}, "begins at step 0 or later"),
        ({"step": 1, "steps": 2, "every": 2, "text": "Rain."}, "come again after more"),
        ({"stepp": 1, "text": "Rain."}, "'oops' has no 'stepp'; it has: step, text"),
        ({"step": 1, "add": [0.1]}, "cannot add"),
        ({"step": 1, "action": [3, 0, 0]}, "'oops': an action must lie between"),
    ],
)
def test_events_that_cannot_be_are_named(event: Any, said: str) -> None:
    with pytest.raises(InvalidConfig, match=said):
        prompter(oops=event)


def test_events_in_plain_words() -> None:
    assert str(Event(**CHILD)) == "at step 1: A child runs onto the road from the right."
    assert str(Event(2, add=[0.5], steps=3, every=10)) == (
        "from step 2 to 4, and every 10 steps after it: [0.5] is added to the action"
    )
    assert prompter(a=BRAKES).explain() == {
        "a": "at step 0: the action is [0.0, 0.0, 1.0], whatever the agent does"
    }


def test_nano_takes_events_in_actions_and_names_the_words_it_never_learned() -> None:
    nano = load("nano", denoising_steps=1, reasoning_steps=0)
    env = ChronoEnv(nano, prompter(gust={**GUST, "step": 0}, child=CHILD), CarRacingScenario())
    env.reset(seed=0)
    assert "100% right" in env.step(np.array([0.2, 0.1, 0.0], np.float32))[4]["text"]
    with pytest.raises(InvalidPrompt, match=r"never learned .*'child'"):
        env.step(np.array([0.2, 0.1, 0.0], np.float32))
