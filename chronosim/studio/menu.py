"""What a page may choose from: the choices of a config group, each with what it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import takewhile
from typing import Any

from omegaconf import DictConfig, OmegaConf

from chronosim.commands.choices import CONF, config_groups, settings_text
from chronosim.commands.settings import compose_config
from chronosim.errors import InvalidConfig

__all__ = ["brings_none", "entry", "named"]


def named(config: DictConfig, group: str) -> str:
    """Names the choice that a part of the studio's settings was composed from.

    Args:
        config: The settings; Hydra does not keep what was chosen.
        group: `model` or `scenario`, also the part's name.

    Returns:
        The choice that is most like it (some of its settings may have been given otherwise), or its
        class's name, where it is of a class of the user's own.
    """
    ours: Any = OmegaConf.to_container(config[group])
    best, most = str(ours["_target_"]).rpartition(".")[2], 0
    usual = re.findall(rf"^ *- {group}: (.+)$", settings_text("studio"), re.MULTILINE)
    for name in dict.fromkeys([*usual, *config_groups()[group]]):
        if _file(group, name)[1].get("_target_", ours["_target_"]) != ours["_target_"]:
            continue
        try:
            composed = compose_config("studio", [f"{group}={name}"])
        except InvalidConfig:
            continue  # one that needs to be told more
        theirs: Any = OmegaConf.to_container(composed[group])
        if theirs == ours:
            return name
        alike = sum(ours.get(key) == value for key, value in theirs.items())
        if theirs["_target_"] == ours["_target_"] and alike > most:
            best, most = name, alike
    return best


def entry(group: str, name: str) -> dict[str, Any]:
    """Gives a choice in JSON values.

    Args:
        group: `model` or `scenario`.
        name: The choice.

    Returns:
        Its `name`; what its file's first comment `says` of it; what it `needs` to be told where the
        studio is started; and what a frame must show that it `wants` the user to bring, or None.
    """
    text, settings = _file(group, name)
    lines = [line for line in text.splitlines() if not line.startswith("# @package")]
    comment = takewhile(lambda line: line.startswith("#"), lines)
    return {
        "name": name,
        "says": " ".join(line.removeprefix("#").strip() for line in comment),
        "needs": [line.partition(":")[0].strip() for line in lines if ": ???" in line],
        "wants": settings.get("wants", "a picture") if brings_none(settings) else None,
    }


def brings_none(scenario: Mapping[str, Any]) -> bool:
    """Whether a scenario waits for a frame of the user's."""
    return "frame" in scenario and scenario["frame"] is None


def _file(group: str, name: str) -> tuple[str, Mapping[str, Any]]:
    """A choice's file, as text and as settings; empty where there is none of that name."""
    file = CONF / group / f"{name}.yaml"
    text = file.read_text("utf-8") if file.is_file() else "{}"
    settings: Any = OmegaConf.to_container(OmegaConf.create(text))
    whole_world = "# @package _global_" in text  # which has a part of the group's name
    return text, settings[group] if whole_world else settings
