"""Names from the config groups (`model`, `prompter`, `scenario`) made into objects.

The commands compose whole configs with Hydra; here, where code asks, only one file is loaded,
because Hydra's compose keeps global state and is not thread-safe.
"""

from __future__ import annotations

import inspect
from importlib.resources import as_file, files
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from omegaconf import OmegaConf

from chronosim.errors import ChronosimError, InvalidConfig

__all__ = ["load", "names"]

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
        group: `model`, `prompter` or `scenario`.
        name: The file's name, without its ending.
        **overrides: Settings that replace or complete the file's.

    Returns:
        The object named by the file's `_target_`.

    Raises:
        InvalidConfig: The group, the name or a setting is unknown.
        ChronosimError: Whatever the object's own making raises.
    """
    if name not in names(group):
        raise InvalidConfig(f"there is no {group} {name!r}; there are: {', '.join(names(group))}")
    with as_file(_GROUPS / group / f"{name}.yaml") as path:
        config: Any = OmegaConf.load(path)
    _check_settings(f"{group} {name!r}", config["_target_"], overrides)
    try:
        return instantiate(config, **overrides, _convert_="all")
    except InstantiationException as error:
        # Hydra wraps what the target raises; a caller wants our own sentence, not the wrapping.
        if isinstance(error.__cause__, ChronosimError):
            raise error.__cause__ from None
        raise InvalidConfig(f"{group} {name!r} cannot be made: {error}") from error


def _check_settings(what: str, target: str, overrides: dict[str, Any]) -> None:
    parameters = inspect.signature(get_object(target)).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return  # the target itself knows which settings there are
    for key in overrides:
        if key not in parameters:
            raise InvalidConfig(
                f"{what} has no setting {key!r}; it has: {', '.join(sorted(parameters)) or 'none'}"
            )
