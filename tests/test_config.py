from __future__ import annotations

from pathlib import Path

import pytest

from chronosim import config
from chronosim.adapters.prompters.driving import DrivingPrompter
from chronosim.envs.make import load_model, make_env
from chronosim.errors import InvalidConfig, ModelNotFound
from chronosim.protocols import Prompter, Scenario
from chronosim.scenarios.carracing import CarRacingScenario
from chronosim.testing import EchoModel


def test_names() -> None:
    assert config.names("scenario") == ["carracing"]
    assert {"echo", "nano", "chronoedit-14b"} <= set(config.names("model"))


def test_load_and_override() -> None:
    assert config.load("model", "echo") == EchoModel(time=1)
    assert config.load("model", "echo", time=3) == EchoModel(time=3)
    assert config.load("prompter", "driving") == DrivingPrompter()
    # A setting that the file leaves at its default can be named as well.
    assert config.load("prompter", "driving", resolution=10) == DrivingPrompter(resolution=10)
    assert config.load("scenario", "carracing") == CarRacingScenario()


@pytest.mark.parametrize("name", config.names("prompter"))
def test_every_prompter_loads(name: str) -> None:
    assert isinstance(config.load("prompter", name), Prompter)


@pytest.mark.parametrize("name", config.names("scenario"))
def test_every_scenario_loads(name: str) -> None:
    assert isinstance(config.load("scenario", name), Scenario)


def test_unknown_names_are_refused_and_the_known_ones_told() -> None:
    with pytest.raises(InvalidConfig, match=r"no model 'nanoo'.*chronoedit-14b.*echo.*nano"):
        config.load("model", "nanoo")
    with pytest.raises(InvalidConfig, match=r"'robots'.*model, .*prompter, scenario"):
        config.load("robots", "arm")
    with pytest.raises(InvalidConfig, match=r"model 'echo' has no setting 'tiem'.*time"):
        config.load("model", "echo", tiem=3)
    with pytest.raises(InvalidConfig, match="'nanoo'"):
        make_env("nanoo")


def test_an_error_of_our_own_arrives_unwrapped() -> None:
    with pytest.raises(InvalidConfig, match=r"^an EchoModel answers with 1 frame or more, not 0$"):
        config.load("model", "echo", time=0)


def test_a_value_of_the_wrong_kind() -> None:
    with pytest.raises(InvalidConfig, match="model 'echo' cannot be made"):
        config.load("model", "echo", time="long")


def test_models_by_object_and_folder(tmp_path: Path) -> None:
    echo = EchoModel()
    assert load_model(echo) is echo
    with pytest.raises(InvalidConfig, match="takes no settings"):
        load_model(echo, time=3)
    with pytest.raises(ModelNotFound):
        load_model(str(tmp_path))
