from __future__ import annotations

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from omegaconf import OmegaConf

from chronosim.envs.make import load_model, make_env
from chronosim.errors import InvalidConfig, MissingDependency, ModelNotFound
from chronosim.prompters.driving import Driving
from chronosim.protocols import Prompter, Scenario
from chronosim.scenarios.carracing import CarRacingScenario
from chronosim.settings import parts as config
from chronosim.settings.parts import make_part
from chronosim.testing import EchoModel


def test_names() -> None:
    assert {"carracing", "pusht", "recorded"} <= set(config.names("scenario"))
    assert {"echo", "nano", "chronoedit-14b"} <= set(config.names("model"))


def test_load_and_override() -> None:
    assert config.load("model", "echo") == EchoModel(time=1)
    assert config.load("model", "echo", time=3) == EchoModel(time=3)
    assert config.load("prompter", "driving") == Driving(foretells=True)
    # Logs of before there were such words name none of them.
    assert config.load("prompter", "driving", foretells=False) == Driving()
    # A setting that the file leaves at its default can be named as well.
    prompter = config.load("prompter", "driving", resolution=10)
    assert prompter == Driving(resolution=10, foretells=True)
    assert config.load("scenario", "carracing") == CarRacingScenario()


# Those two are for a world of one's own, and have to be told about it.
@pytest.mark.parametrize("name", [n for n in config.names("prompter") if n != "values"])
def test_every_prompter_loads(name: str) -> None:
    assert isinstance(config.load("prompter", name), Prompter)


@pytest.mark.parametrize("name", ["carracing", "carracing-slippery", "pusht"])
def test_scenarios_load(name: str) -> None:
    assert isinstance(config.load("scenario", name), Scenario)


def test_unknown_names_are_refused_and_the_known_ones_told() -> None:
    with pytest.raises(InvalidConfig, match=r"no model 'nanoo'.*chronoedit-14b.*echo.*nano"):
        config.load("model", "nanoo")
    with pytest.raises(InvalidConfig, match=r"'robots'.*model, .*prompter, .*scenario"):
        config.load("robots", "arm")
    with pytest.raises(
        InvalidConfig, match=r"model 'echo': tiem is no setting of .*is time meant.*: time"
    ):
        config.load("model", "echo", tiem=3)
    with pytest.raises(InvalidConfig, match="'nanoo'"):
        make_env("nanoo")


def test_an_error_of_our_own_arrives_unwrapped() -> None:
    with pytest.raises(InvalidConfig, match=r"^an EchoModel answers with 1 frame or more, not 0$"):
        config.load("model", "echo", time=0)


def test_a_value_of_the_wrong_kind() -> None:
    with pytest.raises(InvalidConfig, match=r"'echo': time must be a whole number, not 'long'$"):
        config.load("model", "echo", time="long")


def test_models_by_object_and_folder(tmp_path: Path) -> None:
    echo = EchoModel()
    assert load_model(echo) is echo
    with pytest.raises(InvalidConfig, match="takes no settings"):
        load_model(echo, time=3)
    with pytest.raises(ModelNotFound):
        load_model(str(tmp_path))


WORLD = """
prompter:
  _target_: chronosim.prompters.Values
  template: Go {way}.
  action: {way: [left, right]}
scenario:
  _target_: chronosim.scenarios.RecordedScenario
  starts: STARTS
policy:
  _target_: chronosim.policies.Random
  prompter: ${prompter}
  seed: ${seed}
"""


@pytest.fixture
def world(tmp_path: Path) -> str:
    np.savez(tmp_path / "starts.npz", frames=np.full((1, 16, 16, 3), 7, np.uint8))
    path = tmp_path / "mine.yaml"
    path.write_text(WORLD.replace("STARTS", str(tmp_path / "starts.npz")))
    return str(path)


def test_one_file_of_ones_own_describes_a_world(world: str) -> None:
    assert config.load("prompter", world).action_space.n == 2
    assert config.load("policy", world, seed=3).seed == 3
    assert config.companion("scenario", world, "prompter") == world
    assert config.companion("scenario", world, "simulator") is None
    env = gym.make("chronosim/World-v0", model="echo", scenario=world, horizon=1)
    seen, _ = env.reset(seed=0)
    assert seen["image"].max() == 7
    assert env.step(1)[4]["text"] == "Go right."
    rows = gym.make_vec("chronosim/World-v0", 2, model="echo", scenario=world)
    assert rows.reset(seed=0)[0]["image"].shape == (2, 16, 16, 3)


def test_a_world_of_the_librarys_own_brings_its_prompter() -> None:
    brought = config.companion("scenario", "carracing-slippery", "prompter")
    assert brought is not None
    assert isinstance(config.load("prompter", brought), Prompter)
    assert config.companion("scenario", "carracing-slippery", "simulator") is None
    env = make_env("echo", scenario="carracing-slippery")
    env.reset(seed=0)
    texts = [env.step([0.0, 0.0, 0.0])[4]["text"] for _ in range(4)]
    assert ["30% left" in text for text in texts] == [False, False, False, True]


def test_a_file_that_does_not_describe_it(world: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="describes no simulator, only: prompter, scenario, po"):
        config.load("simulator", world)
    with pytest.raises(InvalidConfig, match=r"none\.yaml cannot be read"):
        config.load("prompter", str(tmp_path / "none.yaml"))
    for text, said in (
        ("a: [", "cannot be read"),
        ("- a", "must hold named settings"),
        ("", "describes no"),
    ):
        (tmp_path / "bad.yaml").write_text(text)
        with pytest.raises(InvalidConfig, match=said):
            config.load("prompter", str(tmp_path / "bad.yaml"))


def test_what_a_choice_has_to_be_told_is_named() -> None:
    with pytest.raises(InvalidConfig, match=r"prompter 'values' needs .*: action, seconds_per"):
        config.load("prompter", "values", template="Go.")
    with pytest.raises(InvalidConfig, match="scenario 'recorded' needs to be told: starts"):
        make_env("echo", scenario="recorded", prompter="driving")


def test_a_missing_package_is_said_in_our_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "from chronosim.errors import MissingDependency\nraise MissingDependency('get it')\n"
    (tmp_path / "needs_more.py").write_text(module)
    monkeypatch.syspath_prepend(tmp_path)
    world = tmp_path / "world.yaml"
    world.write_text("model:\n  _target_: needs_more.Model\n")
    with pytest.raises(MissingDependency, match=r"^get it$"):
        config.load("model", str(world))
    with pytest.raises(MissingDependency, match=r"^get it$"):
        make_part(OmegaConf.create({"model": {"_target_": "needs_more.Model"}}), "model")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"scenario: {frame: carracing}", "must name its class under _target_"),
        (b"scenario: carracing", "must name its class under _target_"),
        (b"scenario: ${nope}", "Interpolation key 'nope' not found"),
        (b"scenario: {_target_: chronosim.testing.EchoModel, time: '${nope}'}", "'nope' not found"),
        (b"scenario: {_target_: nosuch.module.Thing}", "cannot be made: .*nosuch"),
        (b"scenario: {_target_: math.pi}", "names no class"),
        (b"scenario: {_target_: 3}", "names no class"),
        (b"scenario: {_target_: \xff}", "cannot be read"),
    ],
)
def test_a_file_that_nothing_can_be_made_of_is_one_sentence(
    text: bytes, said: str, tmp_path: Path
) -> None:
    (tmp_path / "bad.yaml").write_bytes(text)
    with pytest.raises(InvalidConfig, match=said) as caught:
        config.load("scenario", str(tmp_path / "bad.yaml"))
    assert "\n" not in str(caught.value)
