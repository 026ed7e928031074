"""Finds scenarios' files, reads them, and says what is wrong with their settings."""

from __future__ import annotations

import inspect
import re
import shutil
import types
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import as_file
from pathlib import Path
from pkgutil import resolve_name
from tempfile import TemporaryDirectory
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from omegaconf import DictConfig, OmegaConf
from yaml import YAMLError  # type: ignore[import-untyped]

from chronosim.errors import InvalidConfig
from chronosim.settings import parts as config
from chronosim.settings.compose import CONF, compose_config

__all__ = [
    "Problem",
    "ScenarioFile",
    "compose_scenario",
    "describe",
    "find_problems",
    "find_scenario",
    "own_scenarios",
    "suits",
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
        try:
            loaded = OmegaConf.create(self.text)
        except YAMLError as error:
            said = " ".join(str(error).split())
            raise InvalidConfig(f"{self.path} is no YAML that can be read: {said}") from error
        plain = OmegaConf.to_container(loaded) if isinstance(loaded, DictConfig) else None
        if not isinstance(plain, dict) or not plain:
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
    path = Path(name).expanduser()
    try:
        return ScenarioFile(path.stem, path, path.read_text("utf-8"), own=True)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidConfig(f"{path} cannot be read: {error}") from error


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


_SAID = {
    str: "words",
    Path: "a path",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


def suits(value: Any, hint: Any) -> bool:
    """Whether a plain value, or a part that is yet to be made, can stand for a type.

    Args:
        value: From YAML: words, a number, a list, a dict; or a dict with a `_target_`. Words that
            hold a `${...}` are not known yet, and suit everything.
        hint: A type of Python's. What is not one of the plain ones can only be made.
    """
    if hint is Any or hint is object or (isinstance(value, str) and "${" in value):
        return True
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return any(suits(value, one) for one in get_args(hint))
    if origin is Literal:
        return value in get_args(hint)
    if isinstance(value, dict) and "_target_" in value:
        return hint not in _SAID  # what it makes is for its own class to say
    if origin is tuple or _is(origin or hint, Sequence):
        return isinstance(value, list) and all(
            suits(one, kind) for one, kind in _pairs(value, hint)
        )
    if _is(origin or hint, Mapping):
        kinds = get_args(hint)
        return isinstance(value, dict) and all(
            suits(one, kinds[1] if kinds else Any) for one in value.values()
        )
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint in (str, Path):
        return isinstance(value, str)
    return hint in _SAID and isinstance(value, hint)


def describe(hint: Any) -> str:
    """Says in plain words what a type asks for."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(describe(one) for one in get_args(hint)))
    if origin is Literal:
        return " or ".join(map(str, get_args(hint)))
    if hint in _SAID:
        return _SAID[hint]
    kinds = get_args(hint)
    if origin is tuple or _is(origin or hint, Sequence):
        return f"a list of {_plural(kinds[0])}" if kinds else "a list"
    if _is(origin or hint, Mapping):
        return f"named {_plural(kinds[1])}" if kinds else "named values"
    return f"a {hint.__name__}, by its _target_" if isinstance(hint, type) else str(hint)


def _pairs(values: list[Any], hint: Any) -> list[tuple[Any, Any]]:
    kinds = get_args(hint)
    if not kinds:
        return [(value, Any) for value in values]
    if get_origin(hint) is tuple and Ellipsis not in kinds:
        # Of the wrong length: nothing suits.
        return list(zip(values, kinds, strict=True)) if len(values) == len(kinds) else [("", int)]
    return [(value, kinds[0]) for value in values]


def _plural(hint: Any) -> str:
    said = {int: "whole numbers", float: "numbers", str: "words", Any: "values"}
    return said.get(hint, describe(hint).replace("a list", "lists", 1))


def _is(hint: Any, kind: type) -> bool:
    return isinstance(hint, type) and hint is not str and issubclass(hint, kind)


Problem = tuple[str, str]
"""The key, and what is wrong there."""

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
        made = resolve_name(str(target))
        parameters = dict(inspect.signature(made).parameters)
    except Exception as error:  # a module may raise anything when it is imported
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        yield f"{key}._target_", f"there is no {target} to import: {said}"
        return
    free = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    kinds = _kinds(made)
    for name, value in settings.items():
        if name in _HYDRA:
            continue
        if name not in parameters:
            if not free:
                yield f"{key}.{name}", _unknown(name, str(target), parameters)
        elif value == "???":
            yield f"{key}.{name}", f"it must be given: {describe(kinds.get(name, Any))}"
        elif not suits(value, kinds.get(name, Any)):
            yield f"{key}.{name}", f"it must be {describe(kinds[name])}, not {value!r}"
    for name, one in parameters.items():
        plain = one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)
        if plain and one.default is one.empty and name not in settings:
            yield f"{key}.{name}", f"it is missing: {describe(kinds.get(name, Any))}"


def _unknown(name: str, target: str, parameters: dict[str, Any]) -> str:
    known = sorted(parameters)
    near = get_close_matches(name, known, n=1)
    meant = f" (is {near[0]} meant?)" if near else ""
    return f"{target} has no such setting{meant}; it has: {', '.join(known)}"


def _kinds(made: Any) -> dict[str, Any]:
    """The types of the parameters; none where they cannot be found out."""
    try:
        return get_type_hints(made.__init__ if inspect.isclass(made) else made)
    except (NameError, TypeError, AttributeError):
        return {}
