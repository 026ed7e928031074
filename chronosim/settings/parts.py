"""The one maker of parts: settings with a `_target_` become objects; and names become settings.

The commands compose whole configs with Hydra; here, where code asks by name, only one file is
loaded, because Hydra's compose keeps global state and is not thread-safe.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import partial
from importlib import import_module
from importlib.resources import as_file, files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from chronosim.errors import ChronosimError, InvalidConfig
from chronosim.protocols import Prompter, Scenario, WorldModel
from chronosim.settings.safe_yaml import read_yaml
from chronosim.settings.typed import part_problems

_KINDS = {"model": WorldModel, "prompter": Prompter, "scenario": Scenario}
_GROUPS = files("chronosim.scenarios") / "conf"


def names(group: str) -> list[str]:
    """Gives the names in a config group, sorted.

    Raises:
        InvalidConfig: There is no such group.
    """
    folder = _GROUPS / group
    if not folder.is_dir():
        known = sorted(entry.name for entry in _GROUPS.iterdir() if entry.is_dir())
        raise InvalidConfig(f"there is no config group {group!r}; there are: {', '.join(known)}")
    entries = (entry.name for entry in folder.iterdir())
    return sorted(
        name.removesuffix(".yaml")
        for name in entries
        if name.endswith(".yaml") and not name.startswith("_")
    )


def describe(group: str, name: str) -> dict[str, Any]:
    """Gives what a config file says, `_target_` included, without making anything.

    Raises:
        InvalidConfig: There is no such file, or it cannot be read.
    """
    described = dict(_resolved(_read(group, name), f"{group} {name}"))
    described.pop("defaults", None)  # what it inherits is merged already
    return described


def load(group: str, name: str, /, **overrides: Any) -> Any:
    """Makes the object that a config file describes.

    Args:
        group: `model`, `prompter`, `scenario`, `simulator` or `policy`.
        name: The file's name, without its ending; or the path of a YAML of your own, which
            describes a world: the object under the group's name is made.
        **overrides: Settings that replace the file's; those of a group, `wording={"same": "..."}`,
            complete it.

    Returns:
        The object named by the file's `_target_`.

    Raises:
        InvalidConfig: The group, the name or a setting is unknown, or the file is none that can be
            read or does not say what to make.
        ChronosimError: Whatever the object's own making raises.
    """
    what = f"{group} {name!r}"
    config = _read(group, name)
    if not isinstance(config, DictConfig) or "_target_" not in config:
        raise InvalidConfig(f"{what} must name its class under _target_")
    plain: Any = OmegaConf.to_container(config)
    plain.pop("defaults", None)  # what comes along with it in a command; see companion
    if missing := sorted({name for name, value in plain.items() if value == "???"} - {*overrides}):
        raise InvalidConfig(f"{what} needs to be told: {', '.join(missing)}")
    for key in {"defaults", *overrides} & {*config}:
        if not isinstance(plain.get(key), dict):  # a group is completed
            del config[key]  # it may point to what is not in this one file
    return make(_resolved(config, what), what, **overrides)


def make_part(config: DictConfig, name: str, /, **overrides: Any) -> Any:
    """Makes the object that a part of a command's settings describes by its `_target_`.

    Args:
        config: The command's settings.
        name: The part: `model`, `prompter`, `scenario`, `policy`; `judge.model` of one in another.
        **overrides: Settings of the part to replace.

    Returns:
        The object; None where the part is null.

    Raises:
        InvalidConfig: The part cannot be made so.
        ChronosimError: Whatever the object's own making raises.
    """
    part = OmegaConf.select(config, name)
    settings = _resolved(part, name) if OmegaConf.is_config(part) else part
    return check_kind(make(settings, name, **overrides), name)


def check_kind(made: Any, name: str) -> Any:
    """Gives what was made back, if it is what a part of that name must be.

    Raises:
        InvalidConfig: It is not.
    """
    kind = _KINDS.get(name)
    if kind is not None and not isinstance(made, kind):
        raise InvalidConfig(
            f"{name} must be a {kind.__name__} of chronosim.protocols, not {type(made).__name__}"
        )
    return made


def with_seed(config: DictConfig, seed: int) -> DictConfig:
    """Gives the settings with another seed; parts made of them follow it."""
    other = deepcopy(config)  # config.copy() is shallow: its parts would follow the old seed
    other.seed = seed
    return other


def make(settings: Any, what: str, /, **overrides: Any) -> Any:
    """Makes the object that plain settings describe, and before it those that it holds.

    `_target_` names a class or function, which is called with the other settings; with
    `_partial_: true` it is given back with them, to be called later.

    Args:
        settings: A dict with a `_target_`; None makes None.
        what: What it is called in errors.
        **overrides: Settings to replace; they may be objects.

    Raises:
        InvalidConfig: It cannot be made so.
        ChronosimError: Whatever the object's own making raises.
    """
    if settings is None and not overrides:
        return None
    if not isinstance(settings, Mapping) or "_target_" not in settings:
        raise InvalidConfig(f"{what} must name its class under _target_")
    return _built(_completed(settings, overrides), what)


def _completed(settings: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Lays settings over others; groups of them are completed, all else is replaced."""
    found = dict(settings)
    for name, value in overrides.items():
        groups = isinstance(value, Mapping) and isinstance(found.get(name), Mapping)
        found[name] = _completed(found[name], value) if groups else value
    return found


def _built(value: Any, what: str) -> Any:
    if isinstance(value, list):
        return [_built(one, f"{what}[{index}]") for index, one in enumerate(value)]
    if not isinstance(value, dict):
        return value
    if "_target_" not in value:
        return {name: _built(one, f"{what}.{name}") for name, one in value.items()}
    given = {str(name): one for name, one in value.items()}
    target, later = given.pop("_target_"), given.pop("_partial_", False)
    maker = locate(target, what)
    _check(maker, target, given, what, later=later)
    inner = {name: _built(one, f"{what}.{name}") for name, one in given.items()}
    if later:
        return partial(maker, **inner)
    try:
        return maker(**inner)
    except ChronosimError:
        raise
    except Exception as error:  # a class may raise anything
        raise InvalidConfig(f"{what} cannot be made of these settings: {_line(error)}") from error


def _check(maker: Any, target: str, given: Mapping[str, Any], what: str, *, later: Any) -> None:
    """Refuses settings that what is to be made does not have, or that are of another kind."""
    if not isinstance(later, bool):
        raise InvalidConfig(f"{what}._partial_ must be true or false, not {later!r}")
    if unknown := [name for name in given if name[:1] == name[-1:] == "_"]:
        raise InvalidConfig(
            f"{what} has a {unknown[0]}, which means nothing here: only _target_ and _partial_ do"
        )
    try:
        found = list(part_problems(maker, target, given))
    except (TypeError, ValueError) as error:
        raise InvalidConfig(
            f"{what} cannot be made: {target!r} names no class whose settings are known"
        ) from error
    for name, problem in found:
        if not (later and problem.startswith("it is missing")):
            raise InvalidConfig(f"{what}: {name} {problem.removeprefix('it ')}")


def locate(target: object, what: str = "a part") -> Callable[..., Any]:
    """Gives what a `_target_` names, importing its module.

    A module that is not installed is looked for in the working directory, too.

    Raises:
        InvalidConfig: It names nothing that can be imported and called.
        ChronosimError: Whatever the module's import raises.
    """
    words = str(target).split(".")
    if not isinstance(target, str) or len(words) < 2 or not all(map(str.isidentifier, words)):
        raise InvalidConfig(f"{what} cannot be made: {target!r} names no class")
    found: Any = _module(words[0], target, what)
    for index, word in enumerate(words[1:], 2):
        if not hasattr(found, word):
            _module(".".join(words[:index]), target, what)
        if not hasattr(found, word):
            raise InvalidConfig(f"{what} cannot be made: there is no {target} to import")
        found = getattr(found, word)
    if not callable(found):
        raise InvalidConfig(f"{what} cannot be made: {target!r} names no class")
    return found


def is_there(package: str) -> bool:
    """Whether there is such a package or module, here or installed; nothing is imported."""
    return package.isidentifier() and (_lies_here(package) or find_spec(package) is not None)


def _lies_here(package: str) -> bool:
    return any((Path.cwd() / each).exists() for each in (package, f"{package}.py"))


def _module(name: str, target: str, what: str) -> Any:
    here = str(Path.cwd())
    try:
        try:
            return import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name or not _lies_here(name) or here in sys.path:
                raise
            sys.path.append(here)  # for good: worker processes look there too
            return import_module(name)
    except ChronosimError:
        raise
    except Exception as error:  # a module may raise anything when it is imported
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing and f"{name}.".startswith(f"{missing}."):
            said = f"there is no {target} to import"
        else:
            said = f"{target} cannot be imported: {_line(error)}"
        raise InvalidConfig(f"{what} cannot be made: {said}") from error


def companion(group: str, name: str, other: str) -> str | None:
    """Names what comes along with a choice, as its file's defaults list says.

    Args:
        group: Such as `scenario`.
        name: The choice, such as `carracing`.
        other: The group of what comes along, such as `prompter`.

    Returns:
        The name in that group (of a YAML of your own: the same path); None where the choice
        brings nothing of it.

    Raises:
        InvalidConfig: The group or the name is unknown.
    """
    if _is_path(name):
        return name if other in read_yaml(Path(name)) else None
    if _is_world(whole := _read_whole(group, name)) and other in whole:
        with as_file(_GROUPS / group / f"{name}.yaml") as path:
            return str(path)  # a world of the library's own
    for entry in whole.get("defaults", ()):
        for key, value in dict(entry).items() if entry != "_self_" else ():
            if str(key).partition("@")[0] == f"/{other}":
                return str(value)
    return None


def waits_for_frame(scenario: Mapping[str, Any]) -> bool:
    """Whether a scenario's settings leave its first frame to the user."""
    return "frame" in scenario and scenario["frame"] is None


def _read(group: str, name: str) -> Any:
    if _is_path(name):
        world = read_yaml(Path(name))
        if group not in world:
            raise InvalidConfig(f"{name} describes no {group}, only: {', '.join(map(str, world))}")
        return _part(world, group, name)
    whole = _read_whole(group, name)
    return whole[group] if _is_world(whole) else whole


def _read_whole(group: str, name: str) -> DictConfig:
    """A file of the library's own, and what it inherits from others of its group."""
    if name not in names(group):
        raise InvalidConfig(f"there is no {group} {name!r}; there are: {', '.join(names(group))}")
    whole: Any = OmegaConf.create((_GROUPS / group / f"{name}.yaml").read_text("utf-8"))
    for entry in reversed(whole.get("defaults", ())):
        if entry != "_self_" and isinstance(entry, str):
            base = OmegaConf.create((_GROUPS / group / f"{entry}.yaml").read_text("utf-8"))
            whole = OmegaConf.merge(base, whole)
    assert isinstance(whole, DictConfig)
    return whole


def _is_world(whole: DictConfig) -> bool:
    return "_target_" not in whole.keys()  # noqa: SIM118  `in` passes over what is still missing


def _is_path(name: str) -> bool:
    return name.endswith((".yaml", ".yml"))


def _part(world: DictConfig, group: str, path: str) -> Any:
    try:
        return world[group]
    except OmegaConfBaseException as error:
        raise InvalidConfig(f"{group} of {path}: {_line(error)}") from error


def _resolved(config: Any, what: str) -> Any:
    try:
        return OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise InvalidConfig(f"{what} cannot be made: {_line(error)}") from error


def _line(error: BaseException) -> str:
    """What an error says, in one line."""
    return " ".join(str(error).split()) or type(error).__name__
