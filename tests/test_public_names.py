"""What users may rely on: a change here is a change for them, and belongs in the changelog."""

from importlib import import_module

import gymnasium as gym
import pytest

import chronosim
from chronosim import errors

PUBLIC = {
    "chronosim": [
        "EditPrompt",
        "EpisodeReader",
        "EpisodeWriter",
        "Observation",
        "Prediction",
        "Prompter",
        "Scenario",
        "Simulator",
        "WorldModel",
        "__version__",
        "errors",
        "fork",
    ],
    "chronosim.settings": ["companion", "load", "names"],
    "chronosim.errors": [
        "ChronosimError",
        "EnhancementFailed",
        "EpisodeExists",
        "EpisodeNotFound",
        "EpisodeWriteError",
        "InvalidAction",
        "InvalidConfig",
        "InvalidEpisode",
        "InvalidFrame",
        "InvalidModel",
        "InvalidPrompt",
        "JudgementFailed",
        "MissingDependency",
        "ModelNotFound",
        "RemoteFailed",
        "ResetNeeded",
    ],
    "chronosim.episodes": [
        "Damage",
        "EpisodeDataset",
        "EpisodeReader",
        "EpisodeWriter",
        "Repair",
        "Step",
        "compact",
        "list_episodes",
        "repair",
        "verify",
    ],
    "chronosim.frames": [
        "encode_png",
        "fit_frame",
        "middle_of",
        "read_frame",
        "resize_frame",
        "write_frame",
    ],
    "chronosim.testing": [
        "EchoModel",
        "ReplayModel",
        "check_prompter",
        "check_scenario",
        "check_world_model",
    ],
    "chronosim.whatif": [
        "Branch",
        "Divergence",
        "Grower",
        "LoggedMoment",
        "Plan",
        "Search",
        "Tree",
        "WhatIf",
        "default_plans",
        "draw_tree",
        "grow",
        "load_tree",
        "measure",
        "open_store",
        "read_moment",
        "read_plans",
        "run",
        "write_film",
        "write_report",
    ],
}


@pytest.mark.parametrize("module", PUBLIC)
def test_the_public_names_are_these(module: str) -> None:
    found = import_module(module)
    assert sorted(found.__all__) == PUBLIC[module]
    assert all(hasattr(found, name) for name in found.__all__)


def test_every_error_is_ours_and_a_builtin() -> None:
    leaves = [getattr(errors, name) for name in errors.__all__ if name != "ChronosimError"]
    for leaf in leaves:
        assert issubclass(leaf, chronosim.errors.ChronosimError)
        assert leaf.__mro__[2].__module__ == "builtins"
        assert leaf.__name__ in (errors.__doc__ or ""), "the tree in the docstring has them all"


def test_importing_chronosim_registers_its_environments() -> None:
    assert {name for name in gym.registry if name.startswith("chronosim/")} == {
        "chronosim/CarRacing-v0",
        "chronosim/PushT-v0",
        "chronosim/World-v0",
    }
