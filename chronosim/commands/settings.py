"""Settings of a command: composed from YAML and `key=value`, checked where they are read."""

from __future__ import annotations

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

from chronosim.errors import ChronosimError, InvalidConfig

__all__ = ["compose_config", "config_groups", "make_part", "whole_number", "with_seed"]


def compose_config(command: str, overrides: Sequence[str], extra: Path | None = None) -> DictConfig:
    """Composes a command's settings.

    A value that Hydra's grammar cannot read is taken as plain words, so that sentences with commas
    and apostrophes need no second pair of quotes.

    Args:
        command: Name of the command, and of its YAML.
        overrides: `key=value` in Hydra's grammar.
        extra: A folder with config groups of the user's own.

    Raises:
        InvalidConfig: An override that cannot be read, or names no setting or no choice.

    Returns:
        The settings; `${seed}` in a part stands until it is made, so each episode has its own.
    """
    search = [] if extra is None else [f"hydra.searchpath=[file://{_folder(extra)}]"]
    readable = [_readable(override) for override in overrides]
    with as_file(files("chronosim.scenarios") / "conf") as folder:
        try:
            with initialize_config_dir(str(folder.resolve()), version_base="1.3"):
                config = compose(command, [*readable, *search])
                OmegaConf.to_container(config, resolve=True)  # only to see that it can be resolved
                return config
        except HydraException as error:
            raise InvalidConfig(_explain(command, error)) from error
        except OmegaConfBaseException as error:
            raise InvalidConfig(f"{command}: {str(error).splitlines()[0]}") from error


def config_groups() -> dict[str, list[str]]:
    """The choices of each config group, by the group's name."""
    with as_file(files("chronosim.scenarios") / "conf") as folder:
        return {
            group.name: sorted(choice.stem for choice in group.glob("*.yaml"))
            for group in sorted(folder.iterdir())
            if group.is_dir()
        }


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
        if isinstance(error.__cause__, ChronosimError):
            raise error.__cause__ from None  # our own sentence, not Hydra's wrapping of it
        why = error.__cause__ or str(error).splitlines()[0]
        raise InvalidConfig(f"{name} cannot be made of these settings: {why}") from error


def with_seed(config: DictConfig, seed: int) -> DictConfig:
    """Gives the settings with another seed; parts made of them follow it."""
    other = deepcopy(config)  # config.copy() is shallow: its parts would follow the old seed
    other.seed = seed
    return other


def _folder(extra: Path) -> Path:
    if not extra.is_dir():
        raise InvalidConfig(f"there is no config folder {extra}")
    return extra.resolve()


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
