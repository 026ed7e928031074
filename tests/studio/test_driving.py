from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from chronosim import World
from chronosim.envs.chrono_env import ChronoEnv
from chronosim.prompters import Driving
from chronosim.scenarios import CarRacingScenario
from chronosim.seeds import noise_seed
from chronosim.settings.compose import compose_config
from chronosim.studio.workshop import Models
from chronosim.studio.worlds import ChosenWorld, Worlds
from chronosim.testing import EchoModel

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.studio.conftest import Served


def frames(served: Served, state: Any, number: int) -> np.ndarray:
    path = f"/api/sessions/{state['session']}/nodes/{number}"
    count = state["nodes"][number]["frames"]
    return np.stack([served.ask(f"{path}/{index}.png").frame for index in range(count)])


def test_it_is_the_environment_step_by_step(served: Served, left: list[float]) -> None:
    state = served.begin(seed=5)
    world = served.studio.sessions.get(state["session"]).opened().chosen.world
    assert world.scenario is not None
    env = ChronoEnv(world.model, world.prompter, world.scenario)
    env.reset(seed=5)
    assert np.array_equal(frames(served, state, 0)[0], env.observation.frame)
    for action in (left, [0.0, 1.0, 0.0]):
        state = served.change(state, "step", action=action)
        _, reward, _, _, info = env.step(np.array(action, np.float32))
        node = state["nodes"][state["at"]]
        assert np.array_equal(frames(served, state, state["at"]), info["trajectory"])
        assert node["text"] == info["text"]
        assert node["reward"] == reward
        assert node["state"] == pytest.approx(env.observation.state.tolist())


@pytest.mark.parametrize("own", [True, False])
def test_an_episode_begins_as_in_the_environment(own: bool) -> None:
    frame = np.full((120, 160, 3), 90, np.uint8) if own else None
    parts = EchoModel(), Driving(), CarRacingScenario()
    chosen = ChosenWorld("carracing", "echo", World(*parts, frame_size=(96, 96)), {}, frame)
    env = ChronoEnv(*parts, frame_size=(96, 96))
    for seed in (3, 4):
        env.reset(seed=seed, options={"frame": frame} if own else None)
        first, noise = chosen.begin(seed)
        assert np.array_equal(first.frame, env.observation.frame)
        assert first.state.tolist() == env.observation.state.tolist()
        assert noise_seed(noise, 0) == env.step([0, 0, 0])[4]["seed"]


def test_a_frame_that_a_scenario_waits_for_begins_with_its_values() -> None:
    worlds = Worlds(compose_config("studio", ["model=echo"]), Models(print))
    photo = np.full((90, 160, 3), 90, np.uint8)
    first, _ = worlds.make("street-pedestrian", "echo", {}, photo).begin(0)
    assert first.state.tolist() == [8, 0], "m/s and heading: as a rollout begins"
    assert first.frame.shape == (720, 1280, 3)


def test_the_past_stays_and_other_actions_branch(
    served: Served, left: list[float], right: list[float]
) -> None:
    begun = served.begin()
    one = served.change(begun, "step", action=left)
    back = served.change(one, "go", node=0)
    other = served.change(back, "step", action=right)
    assert [node["parent"] for node in other["nodes"]] == [None, 0, 0]
    assert not np.array_equal(frames(served, other, 1), frames(served, other, 2))
    again = served.change(served.change(other, "go", node=0), "step", action=left)
    assert again["at"] == 1
    assert served.model.asked == 2, "what is known is not predicted again"


def test_new_noise_leads_elsewhere(served: Served, left: list[float]) -> None:
    one = served.change(served.begin(), "step", action=left)
    redrawn = served.change(served.change(one, "go", node=0), "redraw")
    assert redrawn["noise"] != redrawn["nodes"][0]["noise"]
    other = served.change(redrawn, "step", action=left)
    assert other["at"] == 2
    assert not np.array_equal(frames(served, other, 1), frames(served, other, 2))


def test_futures_meet_the_same_noise_unless_it_is_redrawn(
    served: Served, left: list[float], right: list[float]
) -> None:
    begun = served.begin()
    asked = {"version": 1, "actions": [left, right], "steps": 2}
    told = served.ask(f"/api/sessions/{begun['session']}/futures", asked).lines[-1]
    state = told["state"]
    assert [state["nodes"][leaf]["depth"] for leaf in told["result"]] == [2, 2]
    assert len({node["noise"] for node in state["nodes"]}) == 1
    back = served.change(state, "go", node=0)
    path = f"/api/sessions/{begun['session']}/futures"
    asked = {"version": back["version"], "actions": [left] * 3, "steps": 1, "redraw": True}
    told = served.ask(path, asked).lines[-1]
    assert len({told["state"]["nodes"][leaf]["noise"] for leaf in told["result"]}) == 3
    assert served.model.asked == 4 + 2, "the first of them was known"


def test_two_people_have_two_worlds(served: Served, left: list[float], right: list[float]) -> None:
    mine, yours = served.begin(seed=1), served.begin(seed=2)
    assert mine["session"] != yours["session"]
    mine = served.change(mine, "step", action=left)
    yours = served.change(yours, "step", action=right)
    assert "left" in mine["nodes"][1]["text"]
    assert "right" in yours["nodes"][1]["text"]
    assert len(served.state(mine)["nodes"]) == len(served.state(yours)["nodes"]) == 2


def test_a_second_window_learns_that_the_first_moved_on(served: Served, left: list[float]) -> None:
    first = served.begin()
    moved = served.change(first, "step", action=left)
    path = f"/api/sessions/{first['session']}"
    late = served.ask(f"{path}/step", {"version": first["version"], "action": left})
    assert late.status == 409
    assert "moved on in another window" in late.json["error"]
    assert late.json["state"]["at"] == moved["at"]
    assert len(served.state(first)["nodes"]) == 2, "nothing was done"


def test_a_session_does_one_thing_at_a_time_and_says_how_far_it_is(
    served: Served, left: list[float], right: list[float]
) -> None:
    state = served.begin()
    served.model.gate.clear()
    with walk_away(served, state, left):
        busy = served.until(state, lambda now: now["busy"] and now["busy"]["total"] == 2)
    assert busy["busy"]["done"] == 1
    assert busy["nodes"][0]["number"] == 0, "what there is can be looked at meanwhile"
    for what, asked in (("step", {"action": right}), ("go", {"node": 0}), ("save", {})):
        refused = served.ask(f"/api/sessions/{state['session']}/{what}", {"version": 1, **asked})
        assert refused.status == 409
        assert refused.json["error"] == "this session is still at something: a step"


def test_a_browser_closed_in_the_middle_of_a_step_loses_nothing(
    served: Served, left: list[float]
) -> None:
    state = served.begin()
    served.model.gate.clear()
    with walk_away(served, state, left):
        served.until(state, lambda now: now["busy"] is not None)
    served.model.gate.set()
    after = served.until(state, lambda now: now["busy"] is None)
    assert after["at"] == 1
    assert after["problem"] is None


def test_a_step_can_be_stopped_while_it_runs_or_waits(
    served: Served, left: list[float], right: list[float]
) -> None:
    mine, yours = served.begin(), served.begin()
    served.model.gate.clear()
    with walk_away(served, mine, left), walk_away(served, yours, right):
        served.until(mine, lambda now: now["busy"] and now["busy"]["total"] == 2)
        served.until(yours, lambda now: now["busy"] and now["busy"]["waiting"])
        for one in (mine, yours):
            told = served.ask(f"/api/sessions/{one['session']}/stop", {})
            assert told.json == {"stopping": True}
    served.model.gate.set()
    for one in (mine, yours):
        after = served.until(one, lambda now: now["busy"] is None)
        assert after["problem"] == "stopped: a step; what was imagined before stays"
        assert after["at"] == 0
    assert served.model.asked == 1, "what waited was never asked for"
    assert served.change(mine, "step", action=right)["at"] == 1


def test_the_first_come_are_the_first_served(
    served: Served, left: list[float], right: list[float]
) -> None:
    mine, yours = served.begin(), served.begin()
    served.model.gate.clear()
    with walk_away(served, mine, left), walk_away(served, yours, right):
        waiting = served.until(yours, lambda now: now["busy"] is not None)
        served.until(mine, lambda now: now["busy"] and not now["busy"]["waiting"])
    assert waiting["busy"]["waiting"]
    served.model.gate.set()
    for one, way in ((mine, "left"), (yours, "right")):
        assert way in served.until(one, lambda now: now["at"] == 1)["nodes"][1]["text"]


@pytest.mark.parametrize("failure", [RuntimeError("CUDA out of memory\nlong story"), KeyError(3)])
def test_a_model_that_fails_is_one_sentence_and_the_world_goes_on(
    failure: Exception, served: Served, left: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    state = served.change(served.begin(), "step", action=left)
    served.model.failure = failure
    failed = served.change(state, "step", action=left)
    assert failed["problem"].startswith("a step failed: ")
    assert type(failure).__name__ in failed["problem"]
    assert "long story" not in failed["problem"]
    assert "Traceback" not in failed["problem"]
    assert "Traceback" in caplog.text, "the terminal has all of it"
    assert failed["at"] == 1
    served.model.failure = None
    assert served.change(failed, "step", action=left)["at"] == 2


def test_the_end_is_the_end(serve: Callable[..., Served], left: list[float]) -> None:
    served = serve()
    state = served.begin()
    session = served.studio.sessions.get(state["session"]).opened()
    object.__setattr__(session.chosen.world, "scenario", _Over())
    ended = served.change(state, "step", action=left)
    assert ended["nodes"][1]["ended"]
    refused = served.change(ended, "step", action=left)
    assert "the episode ended at step 1: step back" in refused["problem"]
    assert served.change(served.change(refused, "go", node=0), "step", action=[0, 0, 0])["at"] == 2


class _Over:
    def begin(self, rng: np.random.Generator) -> Any:
        raise AssertionError("it has begun")

    def score(self, *step: Any) -> tuple[float, bool]:
        return 0.0, True


class walk_away:  # noqa: N801 - read as a sentence
    """Asks for a step and hangs up without waiting for the answer."""

    def __init__(self, served: Served, state: Any, action: list[float]) -> None:
        self._line = socket.create_connection(("127.0.0.1", served.port))
        body = f'{{"version": {state["version"]}, "action": {action}}}'
        self._line.sendall(
            f"POST /api/sessions/{state['session']}/step HTTP/1.1\r\nHost: localhost\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )

    def __enter__(self) -> None:
        return None

    def __exit__(self, *error: object) -> None:
        self._line.close()


def test_an_instruction_is_worded_out_by_a_model_that_can(served: Served) -> None:
    state = served.begin()
    assert not state["world"]["enhanced"]
    refused = served.change(state, "word", text="Open the door.")
    assert "has no enhancer: start the studio with model=enhanced" in refused["problem"]
    said = [("The user wants to " + text) for text in ("open the door.",)]
    served.model.__dict__["word"] = lambda prompts: said
    path = f"/api/sessions/{state['session']}/word"
    answer = served.ask(path, {"version": state["version"], "text": "Open the door."})
    assert answer.lines[-1]["result"] == "The user wants to open the door."
    assert served.state(state)["world"]["enhanced"]
    assert len(served.state(state)["nodes"]) == 1, "nothing was done"
