"""Explains a scenario: what it begins with, what is said and happens, what counts, how to run it.

In a terminal of 24-bit colours its first frame is drawn as coloured blocks. Nothing is loaded but
the scenario: no model, no judge is asked.

Examples:
    chronosim scenarios show carracing-slippery
    chronosim scenarios show street-pedestrian frame=photo.jpg
    chronosim scenarios show path=conf/scenario/mine.yaml
"""

from __future__ import annotations

import inspect
import shutil
from functools import partial
from textwrap import indent, wrap
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from chronosim.cli.terminal import blocks, faint, has_all_colours
from chronosim.errors import ChronosimError, InvalidAction, InvalidConfig
from chronosim.protocols import Prompter, Scenario
from chronosim.scenarios.scene import Scene, explain
from chronosim.settings.commands import ScenariosShow
from chronosim.settings.parts import locate, make_part
from chronosim.settings.scenario_files import (
    ScenarioFile,
    check_trust,
    compose_scenario,
    find_scenario,
)
from chronosim.types import Frame, Observation

_PARTS = ("scenario", "prompter", "policy")
_LABEL = 13  # characters of the column of labels
_GREY = np.full((96, 96, 3), 128, np.uint8)  # seen by prompters where there is no frame yet


def run(given: ScenariosShow) -> None:
    """Runs the command.

    Raises:
        InvalidConfig: There is no such scenario, or its file cannot be composed, or a part of it
            names no class that there is.
    """
    file, frame = find_scenario(given.path), given.frame
    print(f"{file.name}\n{file.title}\n")
    try:
        settings = compose_scenario(file, frame)
        check_trust(file, settings, trust=given.trust, say=partial(print, flush=True))
        _show(file, settings)
    except InvalidConfig as error:
        if file.own:
            raise
        _line("needs", str(error))
        settings = None
    if file.own and not file.in_group:
        return  # no --config-dir would find it
    print(f"\n{faint('run it')}")
    print(f"chronosim rollout {_given(file, settings, frame)}")


def _show(file: ScenarioFile, settings: DictConfig) -> None:
    targets = {name: _target(settings, name) for name in _PARTS if name in settings}
    prompter: Prompter | None = None
    if "prompter" in settings:
        prompter = make_part(settings, "prompter")
    scenario, frame, values = _begin(settings)
    if prompter is not None:
        inner = settings.prompter.get("prompter")
        around = f" (prompter={inner})" if isinstance(inner, str) else ""
        _line("prompter", _first_line(prompter) + around)
        _line("says", _example(settings, prompter, frame, values))
        for name, said in getattr(prompter, "explain", dict)().items():
            _line("event", f"{name}: {said}")
    if "policy" in settings:
        _line("policy", _first_line(targets["policy"]))
    _line("horizon", _horizon(settings, prompter))
    for label, said in _counts(settings, scenario, targets["scenario"]).items():
        _line(label, said)
    if frame is not None and has_all_colours():
        print(f"\n{blocks([frame], 48)}")


def _begin(settings: DictConfig) -> tuple[Scenario | None, Frame | None, Any]:
    """The scenario and its first frame; or, said in its place, why there is none."""
    try:
        scenario: Scenario = make_part(settings, "scenario")
        frame, values = scenario.begin(np.random.default_rng(0))
    except ChronosimError as error:
        _line("begins with", str(error))
        return None, None, settings.scenario.get("values") or {}
    told = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
    source = settings.scenario.get("frame") or "frames of its own"
    height, width = frame.shape[:2]
    told = f", such as {told}" if told else ""
    _line("begins with", f"{source}, {height} x {width}{told}")
    if settings.scenario.get("where") or settings.scenario.get("between"):
        _line("", f"only where {_where(settings)}")
    return scenario, frame, values


def _where(settings: DictConfig) -> str:
    bounds = settings.scenario.get("between") or {}
    said = [f"{name} is {low:g} to {high:g}" for name, (low, high) in bounds.items()]
    if settings.scenario.get("where"):
        said.append(str(make_part(settings.scenario, "where")))
    return " and ".join(said)


def _example(settings: DictConfig, prompter: Prompter, frame: Frame | None, values: Any) -> str:
    """What is said of the policy's first action."""
    try:
        seen = Observation(_GREY if frame is None else frame, prompter.begin(dict(values)))
        return prompter(seen, make_part(settings, "policy")(seen))[0]
    except (ChronosimError, KeyError) as error:
        return str(error) if isinstance(error, InvalidAction) else "nothing that can be shown yet"


def _target(settings: DictConfig, name: str) -> Any:
    """What a part's `_target_` names; nothing is made of it."""
    part = settings[name]
    if not isinstance(part, DictConfig) or "_target_" not in part:
        raise InvalidConfig(f"{name} must name its class under _target_")
    return locate(part["_target_"], name)


def _counts(settings: DictConfig, scenario: Scenario | None, target: Any) -> dict[str, str]:
    """What counts: by the criteria of a `Scene`, or as another class documents itself."""
    given = settings.scenario
    if target is not Scene:
        paragraphs = (inspect.getdoc(target) or "").split("\n\n")
        return {"goal": " ".join("".join(paragraphs[1:2] or paragraphs).split())}
    try:
        goal, failure, judge = (
            make_part(given, name) if OmegaConf.is_config(given.get(name)) else given.get(name)
            for name in ("goal", "failure", "judge")
        )
    except ChronosimError as error:
        return {"goal": str(error)}
    return explain(goal, failure, ends=bool(given.get("ends", True)), judge=judge)


def _horizon(settings: DictConfig, prompter: Prompter | None) -> str:
    held = None if prompter is None else prompter.seconds_per_step
    return f"{settings.horizon} steps" + ("" if held is None else f" of {held:g} s")


def _given(file: ScenarioFile, settings: DictConfig | None, frame: str | None) -> str:
    """What to give the command that runs it."""
    words = [f"scenario={file.name}"]
    if file.own:
        folder = file.path.parent
        named = folder.name == "scenario"  # as it was given; not where it was given as "."
        words.insert(0, f"--config-dir {folder.parent if named else folder.resolve().parent}")
    if settings is None:
        words.append("...")
    elif frame is not None or not file.brings_frame:
        words.append(f"scenario.frame={frame or 'photo.jpg'}")
        goal = settings.scenario.get("goal")
        if isinstance(goal, DictConfig) and "frame" in goal and goal.frame is None:
            words.append("scenario.goal.frame=goal.jpg")
        words.append("model=chronoedit-14b")
    return " ".join(words)


def _first_line(thing: object) -> str:
    return (inspect.getdoc(thing) or type(thing).__name__).splitlines()[0]


def _line(label: str, text: str) -> None:
    width = max(40, shutil.get_terminal_size((100, 24)).columns - _LABEL)
    lines = wrap(" ".join(text.split()), width) or [""]
    print(faint(label.ljust(_LABEL)) + lines[0])
    if lines[1:]:
        print(indent("\n".join(lines[1:]), " " * _LABEL))
