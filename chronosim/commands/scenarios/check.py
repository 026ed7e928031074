"""Checks a scenario's file: names every unknown key, wrong type and missing frame with its key.

Then it begins an episode in it and words the policy's first action; no model is loaded, no judge is
asked. The exit status is 1 where something was found.

Examples:
    chronosim scenarios check mine.yaml
    chronosim scenarios check conf/scenario/mine.yaml frame=photo.jpg
    chronosim scenarios check path=carracing-slippery
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from omegaconf import DictConfig

from chronosim.cli.terminal import faint
from chronosim.errors import ChronosimError, EpisodeNotFound, InvalidConfig, InvalidFrame
from chronosim.protocols import Prompter, Scenario
from chronosim.settings.commands import ScenariosCheck
from chronosim.settings.parts import make_part
from chronosim.settings.scenario_files import (
    Problem,
    ScenarioFile,
    compose_scenario,
    find_problems,
    find_scenario,
)
from chronosim.types import Observation

__all__ = ["run"]

_PARTS = ("scenario", "prompter", "policy")


def run(settings: ScenariosCheck) -> int:
    """Runs the command.

    Returns:
        1 where something was found.

    Raises:
        InvalidConfig: There is no such file, or it is no YAML.
    """
    file = find_scenario(settings.path)
    problems = list(_in_file(file)) or list(_in_use(file, settings.frame))
    for key, what in problems:
        print(f"{key}: {what}")
    if not problems:
        print(f"{file.path} is in order" if file.own else f"{file.name} is in order")
    else:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        print(faint(f"\n{count} in {file.path}"))
    return 1 if problems else 0


def _in_file(file: ScenarioFile) -> Iterator[Problem]:
    """What can be said of the file alone."""
    settings = file.settings
    if not file.is_world:
        if "_target_" not in settings:
            yield (
                "_target_",
                "it is missing: which class this scenario is, or else scenario: with it",
            )
        yield from find_problems(settings, "scenario")
        return
    if not file.is_global:
        yield (
            "line 1",
            "it must be '# @package _global_', so that its parts stand beside each other",
        )
    for name in _PARTS:
        if isinstance(settings.get(name), dict):
            if "_target_" not in settings[name]:
                yield f"{name}._target_", "it is missing: which class this is"
            yield from find_problems(settings[name], name)


def _in_use(file: ScenarioFile, frame: str | None) -> Iterator[Problem]:
    """What only shows when its parts are made and put to use."""
    try:
        settings = compose_scenario(file, frame)
    except InvalidConfig as error:
        yield "defaults" if "defaults" in file.settings else file.name, str(error)
        return
    made = {}
    for name in _PARTS:
        if name not in settings:
            yield name, f"nothing goes with the scenario: name one in defaults, or give {name}=..."
            continue
        try:
            made[name] = make_part(settings, name)
        except ChronosimError as error:
            yield _key(name, error, settings), str(error)
    if len(made) == len(_PARTS):
        yield from _begun(made["scenario"], made["prompter"], made["policy"])


def _begun(scenario: Scenario, prompter: Prompter, policy: Any) -> Iterator[Problem]:
    """What goes wrong when an episode begins and its first action is worded."""
    key = "scenario"
    try:
        frame, values = scenario.begin(np.random.default_rng(0))
        key = "scenario.values"
        seen = Observation(frame, prompter.begin(values))
        key = "policy"
        prompter(seen, policy(seen))
    except ChronosimError as error:
        yield key, str(error)


def _key(name: str, error: ChronosimError, settings: DictConfig) -> str:
    """The key at fault: a frame's where a frame could not be read."""
    if not isinstance(error, InvalidFrame | EpisodeNotFound):
        return name
    goal = settings[name].get("goal")
    if isinstance(goal, DictConfig) and "frame" in goal and str(goal.frame) in str(error):
        return f"{name}.goal.frame"
    return f"{name}.frame" if "frame" in settings[name] else name
