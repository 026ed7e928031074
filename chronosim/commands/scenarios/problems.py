"""What is wrong with a scenario's settings, each with the key it stands under."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from difflib import get_close_matches
from pkgutil import resolve_name
from typing import Any, get_type_hints

from chronosim.commands.scenarios.kinds import describe, suits

__all__ = ["Problem", "find_problems"]

Problem = tuple[str, str]
"""The key, and what is wrong there."""

_HYDRA = ("_target_", "_convert_", "_recursive_", "_partial_", "_args_", "defaults")


def find_problems(settings: Any, key: str) -> Iterator[Problem]:
    """Looks through settings without making anything of them.

    Args:
        settings: Plain values; dicts with a `_target_` are parts.
        key: What they stand under.

    Yields:
        Each unknown key, wrong type, missing setting, and `_target_` that leads nowhere.
    """
    if isinstance(settings, list):
        for index, value in enumerate(settings):
            yield from find_problems(value, f"{key}[{index}]")
    if not isinstance(settings, dict):
        return
    if "_target_" in settings:
        yield from _part(settings, key)
    for name, value in settings.items():
        if name not in _HYDRA:
            yield from find_problems(value, f"{key}.{name}")


def _part(settings: dict[str, Any], key: str) -> Iterator[Problem]:
    """What is wrong with one part, the parts in it left out."""
    target = settings["_target_"]
    if target == "???":
        yield f"{key}._target_", "it is not said which class this is"
        return
    try:
        made = resolve_name(str(target))
        parameters = dict(inspect.signature(made).parameters)
    except Exception as error:  # a module may raise anything when it is imported
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        yield f"{key}._target_", f"there is no {target} to import: {said}"
        return
    free = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    kinds = _kinds(made)
    for name, value in settings.items():
        if name in _HYDRA:
            continue
        if name not in parameters:
            if not free:
                yield f"{key}.{name}", _unknown(name, str(target), parameters)
        elif value == "???":
            yield f"{key}.{name}", f"it must be given: {describe(kinds.get(name, Any))}"
        elif not suits(value, kinds.get(name, Any)):
            yield f"{key}.{name}", f"it must be {describe(kinds[name])}, not {value!r}"
    for name, one in parameters.items():
        plain = one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)
        if plain and one.default is one.empty and name not in settings:
            yield f"{key}.{name}", f"it is missing: {describe(kinds.get(name, Any))}"


def _unknown(name: str, target: str, parameters: dict[str, Any]) -> str:
    known = sorted(parameters)
    near = get_close_matches(name, known, n=1)
    meant = f" (is {near[0]} meant?)" if near else ""
    return f"{target} has no such setting{meant}; it has: {', '.join(known)}"


def _kinds(made: Any) -> dict[str, Any]:
    """The types of the parameters; none where they cannot be found out."""
    try:
        return get_type_hints(made.__init__ if inspect.isclass(made) else made)
    except (NameError, TypeError, AttributeError):
        return {}
