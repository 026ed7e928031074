"""Settings from elsewhere, checked before anything is made of them."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import as_file
from typing import Any

from omegaconf import DictConfig, OmegaConf

from chronosim.errors import InvalidConfig
from chronosim.settings.compose import CONF

__all__ = ["check_parts"]


def check_parts(parts: DictConfig, whose: str) -> None:
    """Checks settings that came from elsewhere: what they would make, config files here make too.

    A `_target_` is a name that is imported and called, so a log could have anything called; an
    address or a `${...}` could have it send what is no one else's business.

    Args:
        parts: The settings.
        whose: Where they came from, for the error.

    Raises:
        InvalidConfig: They name a class that no config file here names, an address, or a `${...}`.
    """
    with as_file(CONF) as folder:
        files_here = [OmegaConf.load(file) for file in folder.glob("*/*.yaml")]
    shipped = {value for file in files_here for key, value in _strings(file) if key == "_target_"}
    for key, value in _strings(parts):
        if "${" in value or "://" in value or (key == "_target_" and value not in shipped):
            raise InvalidConfig(
                f"{whose} asks for {value!r}, which no config file of chronosim names: "
                "give trust=true if you trust it"
            )


def _strings(config: Any) -> Iterator[tuple[str, str]]:
    """Every string in settings, however deep, with the key that it stands under."""
    waiting: list[tuple[str, Any]] = [("", OmegaConf.to_container(config))]
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [(str(name), inner) for name, inner in value.items()]
        elif isinstance(value, list):
            waiting += [(key, inner) for inner in value]
        elif isinstance(value, str):
            yield key, value
