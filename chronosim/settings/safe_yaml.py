"""Reads YAML that others wrote: refused by size, depth and circle before it costs anything."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from chronosim.errors import InvalidConfig
from chronosim.files import read_file, user_path

_BYTES = 2**18
_DEPTH = 32  # lists and mappings in each other
_VALUES = 20_000  # once every alias and every ${...} is written out


def read_yaml(path: Path) -> DictConfig:
    """Reads a file of named settings.

    Raises:
        InvalidConfig: It cannot be read, is none, too large, too deep, or goes round in a circle.
    """
    return parse_yaml(read_text(path), str(path))


def read_text(path: Path) -> str:
    """Reads a file's text.

    Raises:
        InvalidConfig: It is no plain file, too large, or no text.
    """
    try:
        return read_file(user_path(path), _BYTES).decode("utf-8")
    except (OSError, ValueError) as error:
        raise InvalidConfig(f"{path} cannot be read: {error}") from error


def parse_yaml(text: str, whose: str) -> DictConfig:
    """Reads named settings; each `${...}` stays as it is.

    Args:
        text: The YAML.
        whose: What it is called in errors.

    Raises:
        InvalidConfig: It is none, too large, too deep, or goes round in a circle.
    """
    _check_bytes(text.encode("utf-8", "replace"), whose)
    try:
        check_events(text, whose)
        config = OmegaConf.create(text) if text.strip() else OmegaConf.create()
        if not isinstance(config, DictConfig):
            raise InvalidConfig(f"{whose} must hold named settings, not a list")
        _References(OmegaConf.to_container(config), whose).check()
    except (yaml.YAMLError, OmegaConfBaseException, ValueError, RecursionError) as error:
        if isinstance(error, InvalidConfig):
            raise
        said = " ".join(str(error).split())
        raise InvalidConfig(f"{whose} cannot be read: {said}") from error
    return config


def _check_bytes(content: bytes, whose: str) -> None:
    if len(content) > _BYTES:
        raise InvalidConfig(f"{whose} is larger than settings are: {_BYTES // 1024} KiB at most")


def check_events(text: str, whose: str, most: int = _VALUES) -> None:
    """Counts what a document would become, without making it.

    Args:
        text: YAML.
        whose: What it is called in errors.
        most: Values that it may hold.

    Raises:
        InvalidConfig: It is too large, too deep, or goes round in a circle.
        YAMLError: It is no YAML.
    """
    sizes: dict[str, int] = {}
    opened: list[tuple[str | None, int]] = []  # anchor, and values before it
    total = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.events.CollectionEndEvent):
            anchor, before = opened.pop()
            if anchor is not None:
                sizes[anchor] = total - before
        elif isinstance(event, yaml.events.NodeEvent):
            if isinstance(event, yaml.events.AliasEvent):
                if any(event.anchor == anchor for anchor, _ in opened):
                    raise InvalidConfig(
                        f"{whose} goes round in a circle: *{event.anchor} in itself"
                    )
                total += sizes.get(event.anchor, 1)
            elif isinstance(event, yaml.events.CollectionStartEvent):
                opened.append((event.anchor, total))
            total += 1
        if len(opened) > _DEPTH:
            raise InvalidConfig(f"{whose} is nested too deep: {_DEPTH} levels at most")
        if total > most:
            raise InvalidConfig(f"{whose} holds too much: {most:,} values at most")


class _References:
    """What settings become once each `${...}` is written out: how much, and whether ever."""

    _REFERENCE = re.compile(r"\$\{\s*(?:oc\.select:\s*)?([\w.\[\]-]+)[^${}]*\}")

    def __init__(self, settings: Any, whose: str) -> None:
        self._settings, self._whose = settings, whose
        self._known: dict[tuple[str, ...], int] = {}
        self._open: list[tuple[str, ...]] = []

    def check(self) -> None:
        """Refuses what would grow without end, or into too much."""
        self._size(())

    def _size(self, path: tuple[str, ...]) -> int:
        if path in self._known:
            return self._known[path]
        if path in self._open or len(self._open) > 10 * _DEPTH:
            raise InvalidConfig(f"{self._whose} goes round in a circle at {'.'.join(path)}")
        self._open.append(path)
        value = self._at(path)
        if isinstance(value, dict | list):
            names = map(str, value if isinstance(value, dict) else range(len(value)))
            size = 1 + sum(self._size((*path, name)) for name in names)
        else:
            size = 1 + sum(map(self._size, self._references(value, path)))
        self._open.pop()
        if size > _VALUES:
            raise InvalidConfig(f"{self._whose} holds too much: {_VALUES:,} values at most")
        self._known[path] = size
        return size

    def _references(self, value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        if not isinstance(value, str) or "${" not in value:
            return
        if re.search(r"\$\{[^}]*\$\{", value):
            raise InvalidConfig(f"{self._whose} has a ${{...}} in another at {'.'.join(path)}")
        for found in self._REFERENCE.findall(value):
            up = len(found) - len(found.lstrip("."))
            base = path[: len(path) - up] if up else ()
            names = re.split(r"[.\[\]]+", found.strip(".[]"))
            if (*base, *names) != path[:1]:  # "prompter: ${prompter}" means another file's
                yield (*base, *names)

    def _at(self, path: tuple[str, ...]) -> Any:
        found: Any = self._settings
        for name in path:
            if isinstance(found, dict):
                found = next((one for key, one in found.items() if str(key) == name), None)
            elif isinstance(found, list) and name.isdecimal() and int(name) < len(found):
                found = found[int(name)]
            else:
                return None
        return found
