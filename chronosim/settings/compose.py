"""Settings of a command: composed by Hydra from YAML and `key=value`, and read as typed values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from chronosim.errors import InvalidConfig
from chronosim.settings.commands import COMMANDS
from chronosim.settings.safe_yaml import read_yaml
from chronosim.settings.typed import Settings, read, takes_words

_LONGEST = 200  # characters of a wrong value that an error repeats

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
            group.name: sorted(choice.stem for choice in group.glob("[!_]*.yaml"))
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


def choice_texts(command: str, given: Sequence[str]) -> dict[str, str]:
    """The settings of the choices that are given, with their comments: `format=lerobot` and so on.

    Returns:
        The lines of each choice's YAML that a user may set, by what chooses it.
    """
    known, found = choices(command), dict[str, str]()
    groups = {place: group for group, place in defaults(settings_text(command))}
    for word in given:
        key, _, name = word.partition("=")
        if name in known.get(key, ()):
            text = (CONF / groups.get(key, key) / f"{name}.yaml").read_text(encoding="utf-8")
            found[word] = re.sub(
                r"^(_target_: (?!\?).*|defaults:\n( .*\n?)*)\n?", "", text, flags=re.M
            )
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
    _check_own(given, extra)
    settings = [word for word in given if _is_setting(command, word)]
    readable = [_readable(command, _grouped(command, word)) for word in settings]
    paths = _paths(command, [word for word in given if word not in settings])
    with as_file(CONF) as folder:
        try:
            with initialize_config_dir(str(folder.resolve()), version_base="1.3"):
                config = compose(settings_file(command), [*readable, *search])
                config.update(paths)  # not through Hydra, whose grammar gives characters meanings
                _check_complete(command, config)
                _check_words(OmegaConf.to_container(config, resolve=True), command)
                return config
        except HydraException as error:
            raise InvalidConfig(_explain(command, error)) from error
        except InvalidConfig:
            raise
        except OmegaConfBaseException as error:
            raise InvalidConfig(f"{command}: {str(error).splitlines()[0]}") from error
        except (ValueError, TypeError, RecursionError) as error:  # of defaults that cannot be
            said = " ".join(str(error).split())
            raise InvalidConfig(f"{command} cannot read its settings: {said}") from error


def compose_settings(command: str, given: Sequence[str], extra: Path | None = None) -> Settings:
    """Composes a command's settings, and reads them as the typed values that the command takes.

    Raises:
        InvalidConfig: As `compose_config`; or a setting does not suit its type, and the sentence
            names it and says what would.
    """
    return read(COMMANDS[command], compose_config(command, given, extra))


def _is_setting(command: str, word: str) -> bool:
    """Whether a word is `key=value` rather than a path with an equals sign in it."""
    key, equals, _ = word.partition("=")
    name = key.lstrip("+~").partition(".")[0].partition("@")[0]
    own = set(OmegaConf.create(settings_text(command)))
    if not equals or own.isdisjoint({"path", "paths"}) or name in {*own, *config_groups()}:
        return bool(equals)
    return "/" not in name and not Path(word).exists()


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


def _check_words(value: Any, key: str) -> None:
    """Refuses what no path and no sentence may hold; that all can be resolved is seen as well."""
    if isinstance(value, str) and "\0" in value:
        raise InvalidConfig(f"{key} must be words without NUL, not {value!r}")
    if isinstance(value, dict | list):
        for name, one in value.items() if isinstance(value, dict) else enumerate(value):
            _check_words(one, f"{key} {name}")


def _check_own(given: Sequence[str], extra: Path | None) -> None:
    """Reads the choices that are files of the user's own with more care than Hydra does."""
    for group, _, name in (word.partition("=") for word in given if extra is not None):
        path = (extra or Path()) / group.lstrip("+") / f"{name}.yaml"
        if name.isprintable() and path.is_file():
            read_yaml(path)


def _folder(extra: Path) -> Path:
    if not extra.is_dir():
        raise InvalidConfig(f"there is no config folder {extra}")
    return extra.resolve()


def _readable(command: str, override: str) -> str:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise InvalidConfig(f"a setting is given as key=value, not {override!r}")
    if key.lstrip("+~").partition(".")[0] == "hydra":  # what composes, and is no setting
        raise InvalidConfig(f"{command} has no setting {key!r}: see chronosim {command} --help")
    words = takes_words(COMMANDS[command], key)
    try:
        parsed = OverridesParser.create().parse_override(override)
        if not parsed.is_sweep_override() and not (
            words and isinstance(parsed.value(), bool | int | float)
        ):
            return _choosing(command, key, parsed.value(), override)
    except HydraException:
        pass  # not in Hydra's grammar: plain words
    except (ValueError, RecursionError) as error:
        if isinstance(error, InvalidConfig):
            raise
        raise InvalidConfig(f"{key} cannot be read: {error}") from error
    escaped = value.replace("'", "\\'")
    return _choosing(command, key, value, f"{key}='{escaped}'")


def _choosing(command: str, key: str, value: Any, override: str) -> str:
    """What is given, unless it chooses of a group by something else than a name."""
    group, _, name = key.partition("@")
    known = config_groups().get(group)
    if known is not None and (not isinstance(value, str) or "${" in value):
        raise InvalidConfig(
            f"{name or group} must be one of {', '.join(known)}, not {_cut(override)}: "
            f"see chronosim {command} --help"
        )
    return override


def _cut(override: str) -> str:
    value = override.partition("=")[2]
    return value if len(value) <= _LONGEST else f"{value[:_LONGEST]}..."


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
