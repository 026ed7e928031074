"""Finds scenarios' files, reads them, and says what is wrong with their settings."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import as_file
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from omegaconf import DictConfig, OmegaConf

from chronosim.errors import ChronosimError, InvalidConfig
from chronosim.settings import parts as config
from chronosim.settings.compose import CONF, compose_config
from chronosim.settings.parts import locate
from chronosim.settings.safe_yaml import parse_yaml, read_text
from chronosim.settings.typed import Problem, part_problems

__all__ = [
    "Problem",
    "ScenarioFile",
    "compose_scenario",
    "find_problems",
    "find_scenario",
    "own_scenarios",
]

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
    path = Path(name).expanduser()
    return ScenarioFile(path.stem, path, text, own=True)


def own_scenarios(folder: str) -> list[ScenarioFile]:
    """Reads the scenarios in a folder of the user's.

    Raises:
        InvalidConfig: There is none.
    """
    paths = sorted(Path(folder).expanduser().glob("*.yaml"))
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
