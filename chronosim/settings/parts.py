"""Names from the config groups (`model`, `prompter`, `scenario`) made into objects.

The commands compose whole configs with Hydra; here, where code asks, only one file is loaded,
because Hydra's compose keeps global state and is not thread-safe.
"""

from __future__ import annotations

import inspect
from importlib.resources import as_file, files
from typing import Any

from hydra.errors import HydraException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError  # type: ignore[import-untyped]

from chronosim.errors import ChronosimError, InvalidConfig

__all__ = ["companion", "find_own", "load", "names"]

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
    return sorted(name.removesuffix(".yaml") for name in entries if name.endswith(".yaml"))


def load(group: str, name: str, **overrides: Any) -> Any:
    """Makes the object that a config file describes.

    Args:
        group: `model`, `prompter`, `scenario`, `simulator` or `policy`.
        name: The file's name, without its ending; or the path of a YAML of your own, which
            describes a world: the object under the group's name is made.
        **overrides: Settings that replace or complete the file's.

    Returns:
        The object named by the file's `_target_`.

    Raises:
        InvalidConfig: The group, the name or a setting is unknown, or the file is none that can be
            read or does not say what to make.
        ChronosimError: Whatever the object's own making raises.
    """
    config = _read(group, name)
    if not isinstance(config, DictConfig) or "_target_" not in config:
        raise InvalidConfig(f"{group} {name!r} must name its class under _target_")
    config.pop("defaults", None)  # what comes along with it in a command; see companion
    # Not OmegaConf.missing_keys: it stumbles over what other parts of a file would fill in.
    plain: Any = OmegaConf.to_container(config)
    if missing := sorted({name for name, value in plain.items() if value == "???"} - {*overrides}):
        raise InvalidConfig(f"{group} {name!r} needs to be told: {', '.join(missing)}")
    try:
        _check_settings(f"{group} {name!r}", config["_target_"], overrides)
        return instantiate(config, **overrides, _convert_="all")
    except (HydraException, ImportError, OmegaConfBaseException) as error:
        if own := find_own(error):
            raise own from None
        said = " ".join(str(error).split())
        raise InvalidConfig(f"{group} {name!r} cannot be made: {said}") from error


def find_own(error: BaseException) -> ChronosimError | None:
    """Finds the error of ours that others wrapped, Hydra more than once; None if there is none."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ChronosimError):
        cause = cause.__cause__ or cause.__context__
    return cause


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
        return name if other in _read_world(name) else None
    if _is_world(whole := _read_whole(group, name)) and other in whole:
        with as_file(_GROUPS / group / f"{name}.yaml") as path:
            return str(path)  # a world of the library's own
    for entry in _read(group, name).get("defaults", ()):
        for key, value in dict(entry).items() if entry != "_self_" else ():
            if str(key).partition("@")[0] == f"/{other}":
                return str(value)
    return None


def _read(group: str, name: str) -> Any:
    if _is_path(name):
        world = _read_world(name)
        if group not in world:
            raise InvalidConfig(f"{name} describes no {group}, only: {', '.join(map(str, world))}")
        return _part(world, group, name)
    whole = _read_whole(group, name)
    return whole[group] if _is_world(whole) else whole


def _read_whole(group: str, name: str) -> Any:
    """A file of the library's own: of what it is named after, or of a world that has it."""
    if name not in names(group):
        raise InvalidConfig(f"there is no {group} {name!r}; there are: {', '.join(names(group))}")
    with as_file(_GROUPS / group / f"{name}.yaml") as path:
        return OmegaConf.load(path)


def _is_world(whole: Any) -> bool:
    return "_target_" not in whole


def _is_path(name: str) -> bool:
    return name.endswith(".yaml")


def _read_world(path: str) -> DictConfig:
    try:
        world = OmegaConf.load(path)
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise InvalidConfig(f"{path} cannot be read: {error}") from error
    if not isinstance(world, DictConfig):
        raise InvalidConfig(f"{path} must describe a simulator, a prompter, a scenario ...")
    return world


def _part(world: DictConfig, group: str, path: str) -> Any:
    try:
        return world[group]
    except OmegaConfBaseException as error:
        raise InvalidConfig(f"{group} of {path}: {str(error).splitlines()[0]}") from error


def _check_settings(what: str, target: Any, overrides: dict[str, Any]) -> None:
    try:
        parameters = inspect.signature(get_object(target)).parameters
    except (AttributeError, TypeError, ValueError) as error:
        raise InvalidConfig(
            f"{what} cannot be made: {target!r} names no class whose settings are known"
        ) from error
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return  # the target itself knows which settings there are
    for key in overrides:
        if key not in parameters:
            raise InvalidConfig(
                f"{what} has no setting {key!r}; it has: {', '.join(sorted(parameters)) or 'none'}"
            )
