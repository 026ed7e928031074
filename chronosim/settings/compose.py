"""Settings of a command: composed from YAML and `key=value`, checked where they are read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from copy import deepcopy
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, InstantiationException, MissingConfigException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from chronosim.errors import InvalidConfig
from chronosim.settings.parts import find_own

__all__ = [
    "CONF",
    "choices",
    "compose_config",
    "config_groups",
    "defaults",
    "make_part",
    "settings_file",
    "settings_text",
    "whole_number",
    "with_seed",
]

CONF = files("chronosim.scenarios") / "conf"
"""The folder of all settings: a file for each command, a folder for each config group."""


def settings_file(command: str) -> str:
    """Name of a command's YAML. Not in folders: Hydra would take `episodes=4` for a choice."""
    return command.replace(" ", "-")


def settings_text(command: str) -> str:
    """A command's settings as its YAML has them, with the comments."""
    return (CONF / f"{settings_file(command)}.yaml").read_text(encoding="utf-8")


def config_groups() -> dict[str, list[str]]:
    """The choices of each config group, by the group's name."""
    with as_file(CONF) as folder:
        return {
            group.name: sorted(choice.stem for choice in group.glob("*.yaml"))
            for group in sorted(folder.iterdir())
            if group.is_dir()
        }


def choices(command: str) -> dict[str, list[str]]:
    """What can be chosen by name for a command: by its own defaults, and by those of the choices.

    Returns:
        The choices of each setting, by the setting's name.
    """
    groups, found = config_groups(), dict[str, list[str]]()
    waiting = defaults(settings_text(command))
    while waiting:
        group, key = waiting.pop(0)
        if group in groups and key not in found:
            found[key] = groups[group]
            for choice in groups[group]:
                waiting += defaults((CONF / group / f"{choice}.yaml").read_text("utf-8"))
    return found


def defaults(text: str) -> list[tuple[str, str]]:
    """The config groups in a YAML's defaults, each with the setting it fills.

    `- model: nano` fills `model`, `- export@format: mp4` fills `format`, and
    `- /policy@_global_.policy: straight` fills `policy`.
    """
    found = re.findall(r"^\s*- /?(\w+)(?:@([\w.]+))?: ", text, re.MULTILINE)
    return [(group, (place or group).rpartition(".")[2]) for group, place in found]


def compose_config(command: str, given: Sequence[str], extra: Path | None = None) -> DictConfig:
    """Composes a command's settings.

    A value that Hydra's grammar cannot read is taken as plain words, so that sentences with commas
    and apostrophes need no second pair of quotes. A word without `=` is the command's `path`, or
    one of its `paths`.

    Args:
        command: Name of the command.
        given: `key=value` in Hydra's grammar, or a path.
        extra: A folder with config groups of the user's own.

    Raises:
        InvalidConfig: What is given cannot be read, names no setting or no choice, or lacks what
            the command needs.

    Returns:
        The settings; `${seed}` in a part stands until it is made, so each episode has its own.
    """
    search = [] if extra is None else [f"hydra.searchpath=[file://{_folder(extra)}]"]
    readable = [_readable(_grouped(command, word)) for word in given if "=" in word]
    paths = _paths(command, [word for word in given if "=" not in word])
    with as_file(CONF) as folder:
        try:
            with initialize_config_dir(str(folder.resolve()), version_base="1.3"):
                config = compose(settings_file(command), [*readable, *search])
                config.update(paths)  # not through Hydra, whose grammar gives characters meanings
                _check_complete(command, config)
                OmegaConf.to_container(config, resolve=True)  # only to see that it can be resolved
                return config
        except HydraException as error:
            raise InvalidConfig(_explain(command, error)) from error
        except OmegaConfBaseException as error:
            raise InvalidConfig(f"{command}: {str(error).splitlines()[0]}") from error


def whole_number(config: DictConfig, name: str, least: int) -> int:
    """Reads a setting that must be a whole number.

    Raises:
        InvalidConfig: It is not one, or is below `least`.
    """
    value: Any = config[name]
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InvalidConfig(f"{name} must be a whole number of at least {least}, not {value!r}")
    return value


def make_part(config: DictConfig, name: str, **overrides: Any) -> Any:
    """Makes the object that a part of the settings describes by its `_target_`.

    Args:
        config: The command's settings.
        name: The part: `model`, `prompter`, `scenario`, `policy`.
        **overrides: Settings of the part to replace.

    Raises:
        InvalidConfig: The part cannot be made so.
        ChronosimError: Whatever the object's own making raises.
    """
    try:
        return instantiate(config[name], **overrides, _convert_="all")
    except InstantiationException as error:
        if own := find_own(error):
            raise own from None
        raise InvalidConfig(f"{name} cannot be made of these settings: {_why(error)}") from error


def with_seed(config: DictConfig, seed: int) -> DictConfig:
    """Gives the settings with another seed; parts made of them follow it."""
    other = deepcopy(config)  # config.copy() is shallow: its parts would follow the old seed
    other.seed = seed
    return other


def _grouped(command: str, override: str) -> str:
    """`format=mp4` as Hydra's `export@format=mp4`, where the command's defaults say so."""
    key = override.partition("=")[0]
    for group, place in defaults(settings_text(command)):
        if place == key and place != group:
            return f"{group}@{override}"
    return override


def _paths(command: str, words: Sequence[str]) -> dict[str, Any]:
    """What stands without a key, as the setting it is short for."""
    if not words:
        return {}
    own = set(OmegaConf.create(settings_text(command)))  # `in` passes over what is still missing
    if "paths" in own:
        return {"paths": list(words)}
    if "path" not in own:
        raise InvalidConfig(f"a setting is given as key=value, not {words[0]!r}")
    if len(words) > 1:
        raise InvalidConfig(f"{command} takes one path, not {len(words)}: {' '.join(words)}")
    return {"path": words[0]}


def _check_complete(command: str, config: DictConfig) -> None:
    for name in sorted(OmegaConf.missing_keys(config)):
        path = name in ("path", "paths")
        how = f"chronosim {command} PATH" if path else f"see chronosim {command} --help"
        raise InvalidConfig(f"{command} needs {'a path' if path else f'{name}=...'}: {how}")


def _folder(extra: Path) -> Path:
    if not extra.is_dir():
        raise InvalidConfig(f"there is no config folder {extra}")
    return extra.resolve()


def _why(error: InstantiationException) -> str:
    """What kept Hydra from making a part, in one line."""
    cause = error.__cause__ or error
    found = re.match(r"Error loading '(.+)':", str(cause))
    if found is None or cause.__cause__ is None:
        return " ".join(str(cause).split())
    target, why = found[1], cause.__cause__
    missing = why.name if isinstance(why, ModuleNotFoundError) else None
    if isinstance(why, AttributeError) or f"{target}.".startswith(f"{missing}."):
        return f"there is no {target} to import"
    return f"{target} cannot be imported: {' '.join(str(why).split())}"


def _readable(override: str) -> str:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise InvalidConfig(f"a setting is given as key=value, not {override!r}")
    try:
        if not OverridesParser.create().parse_override(override).is_sweep_override():
            return override
    except HydraException:
        pass  # not in Hydra's grammar: plain words
    escaped = value.replace("'", "\\'")
    return f"{key}='{escaped}'"


def _explain(command: str, error: HydraException) -> str:
    """One sentence for one of Hydra's pages."""
    lines = str(error).splitlines()
    if isinstance(error, MissingConfigException) and error.options is not None:
        missing = str(error.missing_cfg_file)
        group, _, name = missing.rpartition("/")
        return f"there is no {group} {name!r}; there are: {', '.join(error.options)}"
    if lines and lines[0].startswith("Could not override '"):
        name = lines[0].split("'")[1]
        return f"{command} has no setting {name!r}: see chronosim {command} --help"
    return f"{command} cannot read its settings: {' '.join(line.strip() for line in lines)}"
