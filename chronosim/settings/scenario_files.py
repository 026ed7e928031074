"""Finds scenarios' files, reads them, and says what is wrong with their settings."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import as_file
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from chronosim.errors import ChronosimError, EpisodeNotFound, InvalidConfig, InvalidFrame
from chronosim.files import user_path
from chronosim.protocols import Prompter, Scenario
from chronosim.settings import parts as config
from chronosim.settings.compose import CONF, compose_config
from chronosim.settings.parts import is_there, locate, make_part
from chronosim.settings.safe_yaml import parse_yaml, read_text
from chronosim.settings.trust import find_requests
from chronosim.settings.typed import Problem, part_problems, plain
from chronosim.types import Observation

_PARTS = ("scenario", "prompter", "policy")
_ASKED = 4  # things that a file asks for, which an error repeats
_GLOBAL = "# @package _global_"


@dataclass(frozen=True, slots=True)
class ScenarioFile:
    """A scenario's file, read but not composed.

    Attributes:
        name: What `scenario=` calls it.
        path: Where it is.
        text: What is in it.
        own: Whether it is the user's.
    """

    name: str
    path: Path
    text: str
    own: bool

    @property
    def title(self) -> str:
        """What its first comment says; "" without one."""
        comments = [line[1:].strip() for line in self.text.splitlines() if line[:1] == "#"]
        return next((line for line in comments if line and not line.startswith("@package")), "")

    @property
    def settings(self) -> dict[str, Any]:
        """What it says, as plain values; `${...}` stay as they are.

        Raises:
            InvalidConfig: It is no YAML of named settings.
        """
        plain: Any = OmegaConf.to_container(parse_yaml(self.text, str(self.path)))
        if not plain:
            raise InvalidConfig(f"{self.path} must hold named settings of a scenario")
        return {str(key): value for key, value in plain.items()}

    @property
    def is_world(self) -> bool:
        """Whether it describes a scenario and what goes with it, each under its name."""
        return "_target_" not in self.settings and "scenario" in self.settings

    @property
    def is_global(self) -> bool:
        """Whether it begins with the line that makes Hydra take it for a world."""
        return re.match(rf"\s*{_GLOBAL}\s*$", self.text, re.MULTILINE) is not None

    @property
    def in_group(self) -> bool:
        """Whether it lies where `--config-dir` finds it: in a folder called scenario."""
        path = self.path.resolve()
        return path.parent.name == "scenario" and path.suffix == ".yaml"

    @property
    def brings_frame(self) -> bool:
        """Whether it begins with a frame of its own, rather than one that the user must bring."""
        inside = self.settings["scenario"] if self.is_world else self.settings
        return inside.get("frame", "") is not None and "???" not in inside.values()


def find_scenario(name: str) -> ScenarioFile:
    """Finds a scenario by its name, or a file of the user's by its path.

    Raises:
        InvalidConfig: There is neither.
    """
    if not name.endswith((".yaml", ".yml")):
        if name not in config.names("scenario"):
            raise InvalidConfig(
                f"there is no scenario {name!r}; there are: {', '.join(config.names('scenario'))}; "
                "or name a .yaml of yours"
            )
        with as_file(CONF / "scenario" / f"{name}.yaml") as path:
            return ScenarioFile(name, path, path.read_text("utf-8"), own=False)
    text = read_text(Path(name))
    path = user_path(name)
    return ScenarioFile(path.stem, path, text, own=True)


def own_scenarios(folder: str) -> list[ScenarioFile]:
    """Reads the scenarios in a folder of the user's.

    Raises:
        InvalidConfig: There is none.
    """
    paths = sorted(user_path(folder).glob("*.yaml"))
    if not paths:
        raise InvalidConfig(f"there is no scenario (.yaml) in {folder}")
    return [find_scenario(str(path)) for path in paths]


def compose_scenario(file: ScenarioFile, frame: str | None = None) -> DictConfig:
    """Composes the settings of a rollout in a scenario.

    Args:
        file: The scenario.
        frame: The user's first frame; None: the scenario's own.

    Raises:
        InvalidConfig: As `compose_config`.
    """
    given = [f"scenario={file.name}"]
    if frame is not None:
        given.append(f"scenario.frame={frame}")
    with _folder_of(file) as extra:
        return compose_config("rollout", given, extra)


@contextmanager
def _folder_of(file: ScenarioFile) -> Iterator[Path | None]:
    """The config folder that a scenario of the user's is in; or one made for it alone."""
    if not file.own:
        yield None
    elif file.in_group:
        yield file.path.resolve().parent.parent
    else:
        with TemporaryDirectory() as folder:
            (Path(folder) / "scenario").mkdir()
            shutil.copy(file.path, Path(folder) / "scenario" / f"{file.name}.yaml")
            yield Path(folder)


_HYDRA = ("_target_", "_convert_", "_recursive_", "_partial_", "_args_", "defaults")


def find_problems(settings: Any, key: str) -> Iterator[Problem]:
    """Looks through settings without making anything of them.

    Args:
        settings: Plain values; dicts with a `_target_` are parts.
        key: What they stand under.

    Yields:
        Each unknown key, wrong type, missing setting, and `_target_` that leads nowhere.
    """
    if isinstance(settings, list):
        for index, value in enumerate(settings):
            yield from find_problems(value, f"{key}[{index}]")
    if not isinstance(settings, dict):
        return
    if "_target_" in settings:
        yield from _part(settings, key)
    for name, value in settings.items():
        if name not in _HYDRA:
            yield from find_problems(value, f"{key}.{name}")


def _part(settings: dict[str, Any], key: str) -> Iterator[Problem]:
    """What is wrong with one part, the parts in it left out."""
    target = settings["_target_"]
    if target == "???":
        yield f"{key}._target_", "it is not said which class this is"
        return
    if not str(target).startswith("chronosim."):  # code of anyone's is not imported to be looked at
        if not is_there(str(target).partition(".")[0]):
            yield f"{key}._target_", f"there is no {target} to import"
        return
    try:
        made = locate(target)
        found = list(part_problems(made, str(target), _without_hydra(settings)))
    except ChronosimError as error:
        yield f"{key}._target_", str(error).removeprefix("a part cannot be made: ")
    except (TypeError, ValueError):
        yield f"{key}._target_", f"{target!r} names no class whose settings are known"
    else:
        yield from ((f"{key}.{name}", what) for name, what in found)


def _without_hydra(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in _HYDRA}


def check_file(
    file: ScenarioFile,
    frame: str | None = None,
    *,
    trust: bool = False,
    say: Callable[[str], object] = print,
) -> list[Problem]:
    """Looks for what is wrong with a scenario: in its file, and when an episode begins in it.

    Args:
        file: The scenario.
        frame: The user's first frame; None: the scenario's own.
        trust: Whether a file of the user's may run code of its own, ask addresses and the like.
        say: Told first what a trusted file will do of that.

    Raises:
        InvalidConfig: It is no YAML, or asks for trust; the sentence says what it would do.
    """
    return list(_in_file(file)) or list(_in_use(file, frame, trust, say))


def check_trust(
    file: ScenarioFile,
    settings: DictConfig,
    *,
    trust: bool,
    say: Callable[[str], object] = print,
) -> None:
    """Refuses a file of the user's that does more than chronosim's own parts, or says what it does.

    Args:
        file: The scenario.
        settings: As composed of it.
        trust: Whether it may.
        say: Told what it will do.

    Raises:
        InvalidConfig: It asks for trust.
    """
    values = plain(settings)
    parts = {name: values[name] for name in _PARTS if values.get(name) is not None}
    for name, part in parts.items():
        if not isinstance(part, dict) or "_target_" not in part:
            raise InvalidConfig(f"{name} must name its class under _target_")
        if str(part["_target_"]).startswith("chronosim."):
            locate(part["_target_"], name)
    asked = [str(request) for request in find_requests(parts, "anywhere")] if file.own else []
    asked += [f"reads {found}" for found in re.findall(r"\$\{oc\.env[^}]*\}", file.text)]
    if asked and not trust:
        raise InvalidConfig(
            f"{file.path} does more than chronosim's own parts ({'; '.join(asked[:_ASKED])}): give "
            "trust=true if you trust it"
        )
    if asked:
        say("\n".join([f"Trusted, {file.path} does this:", *asked]))


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


def _in_use(
    file: ScenarioFile, frame: str | None, trust: bool, say: Callable[[str], object]
) -> Iterator[Problem]:
    """What only shows when its parts are made and put to use."""
    try:
        settings = compose_scenario(file, frame)
    except InvalidConfig as error:
        yield "defaults" if "defaults" in file.settings else file.name, str(error)
        return
    check_trust(file, settings, trust=trust, say=say)
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
