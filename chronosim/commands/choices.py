"""What can be set and chosen for a command, read from the YAML files without Hydra."""

from __future__ import annotations

import re
from importlib.resources import as_file, files

__all__ = ["CONF", "choices", "config_groups", "defaults", "settings_file", "settings_text"]

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
