"""Whether a value from YAML is of the kind that a parameter asks for."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

__all__ = ["describe", "suits"]

_SAID = {
    str: "words",
    Path: "a path",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


def suits(value: Any, hint: Any) -> bool:
    """Whether a plain value, or a part that is yet to be made, can stand for a type.

    Args:
        value: From YAML: words, a number, a list, a dict; or a dict with a `_target_`. Words that
            hold a `${...}` are not known yet, and suit everything.
        hint: A type of Python's. What is not one of the plain ones can only be made.
    """
    if hint is Any or hint is object or (isinstance(value, str) and "${" in value):
        return True
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return any(suits(value, one) for one in get_args(hint))
    if origin is Literal:
        return value in get_args(hint)
    if isinstance(value, dict) and "_target_" in value:
        return hint not in _SAID  # what it makes is for its own class to say
    if origin is tuple or _is(origin or hint, Sequence):
        return isinstance(value, list) and all(
            suits(one, kind) for one, kind in _pairs(value, hint)
        )
    if _is(origin or hint, Mapping):
        kinds = get_args(hint)
        return isinstance(value, dict) and all(
            suits(one, kinds[1] if kinds else Any) for one in value.values()
        )
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint in (str, Path):
        return isinstance(value, str)
    return hint in _SAID and isinstance(value, hint)


def describe(hint: Any) -> str:
    """Says in plain words what a type asks for."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(describe(one) for one in get_args(hint)))
    if origin is Literal:
        return " or ".join(map(str, get_args(hint)))
    if hint in _SAID:
        return _SAID[hint]
    kinds = get_args(hint)
    if origin is tuple or _is(origin or hint, Sequence):
        return f"a list of {_plural(kinds[0])}" if kinds else "a list"
    if _is(origin or hint, Mapping):
        return f"named {_plural(kinds[1])}" if kinds else "named values"
    return f"a {hint.__name__}, by its _target_" if isinstance(hint, type) else str(hint)


def _pairs(values: list[Any], hint: Any) -> list[tuple[Any, Any]]:
    kinds = get_args(hint)
    if not kinds:
        return [(value, Any) for value in values]
    if get_origin(hint) is tuple and Ellipsis not in kinds:
        # Of the wrong length: nothing suits.
        return list(zip(values, kinds, strict=True)) if len(values) == len(kinds) else [("", int)]
    return [(value, kinds[0]) for value in values]


def _plural(hint: Any) -> str:
    said = {int: "whole numbers", float: "numbers", str: "words", Any: "values"}
    return said.get(hint, describe(hint).replace("a list", "lists", 1))


def _is(hint: Any, kind: type) -> bool:
    return isinstance(hint, type) and hint is not str and issubclass(hint, kind)
