"""Values from YAML and the command line, held against types: what suits, and what to say if not."""

from __future__ import annotations

import inspect
import math
import re
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from omegaconf import DictConfig, OmegaConf

from chronosim.errors import InvalidConfig

_Typed = TypeVar("_Typed")


@dataclass(frozen=True, slots=True)
class Range:
    """Bounds of a number, for `Annotated`.

    Attributes:
        least: The smallest that may be given.
        most: The largest.
        above: Whether `least` itself is too small.
    """

    least: float
    most: float = math.inf
    above: bool = False

    def holds(self, value: float) -> bool:
        """Whether a number lies within; infinities and NaN never do."""
        enough = value > self.least if self.above else value >= self.least
        return math.isfinite(value) and enough and value <= self.most

    def __str__(self) -> str:
        if self.most == math.inf:
            return f"{'above' if self.above else 'of at least'} {self.least:g}"
        most = "2**63 - 1" if self.most == _LARGEST else f"{self.most:g}"
        if self.above:
            return f"above {self.least:g}, at most {most}"
        return f"from {self.least:g} to {most}"


@dataclass(frozen=True, slots=True)
class OneOf:
    """The words that may be given, for `Annotated[str, ...]`."""

    words: tuple[str, ...]

    def holds(self, value: object) -> bool:
        """Whether a value is one of them."""
        return value in self.words

    def __str__(self) -> str:
        return " or ".join((", ".join(self.words[:-1]), self.words[-1])[len(self.words) == 1 :])


@dataclass(frozen=True, slots=True)
class Said:
    """What an error calls a type, for `Annotated`."""

    words: str


@dataclass(frozen=True, slots=True)
class Fields:
    """Whose fields `**settings` are, for `Annotated[Any, Fields((A, B))]`."""

    classes: tuple[type, ...]


_LARGEST = 2**63 - 1
Seed = Annotated[int, Range(0, _LARGEST)]
"""Of anything drawn: what the log's int64 holds."""
Count = Annotated[int, Range(1)]
"""How many of something."""
Amount = Annotated[float, Range(0)]
"""How much of something."""
Size = Annotated[tuple[Count, Count], Said("[height, width] in pixels")]
"""Of frames."""
Words = str
"""Of any kind: a sentence, a name, a path, an address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the settings of each command have in common.

    Attributes:
        composed: All of them as they were composed, to be written beside the results.
    """

    composed: DictConfig


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A part of a command's settings that an object is made of.

    Attributes:
        name: What it is called, such as `model`.
        composed: All settings; a part may point into them, `${seed}` for one.
    """

    name: str
    composed: DictConfig

    @property
    def target(self) -> str:
        """What its `_target_` says: the name of a class or function."""
        return str(self.composed[self.name].get("_target_"))

    @property
    def values(self) -> dict[str, Any]:
        """Its settings as plain values, `_target_` left out."""
        return {
            name: value
            for name, value in plain(self.composed[self.name]).items()
            if name != "_target_"
        }

    def make(self, **overrides: Any) -> Any:
        """Makes the object.

        Args:
            **overrides: Settings to replace.

        Raises:
            InvalidConfig: It cannot be made so.
            ChronosimError: Whatever the object's own making raises.
        """
        from chronosim.settings.parts import make_part  # here: it stands on this module

        return make_part(self.composed, self.name, **overrides)

    def accepts(self, name: str) -> bool:
        """Whether what its `_target_` names has such a setting."""
        from chronosim.settings.parts import locate

        try:
            return name in parameters(locate(self.target))
        except InvalidConfig:
            return False  # what cannot be found is said when it is made

    def seeded(self, seed: int) -> Part:
        """The same part under another seed, which it follows where it says `${seed}`."""
        from chronosim.settings.parts import with_seed

        return Part(self.name, with_seed(self.composed, seed))


def read(kind: type[_Typed], composed: DictConfig) -> _Typed:
    """Reads a command's settings.

    Args:
        kind: A dataclass of settings; each field has a setting of its name (`from_` reads `from`).
        composed: The settings as they were composed.

    Raises:
        InvalidConfig: One does not suit its type; the sentence names it and says what would.
    """
    return _read(kind, plain(composed), "", composed)


def _read(kind: type[Any], values: Mapping[str, Any], prefix: str, composed: DictConfig) -> Any:
    hints = get_type_hints(kind, include_extras=True)
    given: dict[str, Any] = {"composed": composed} if "composed" in hints else {}
    for field in [name for name in hints if name not in given]:
        name = field.rstrip("_")
        key = f"{prefix}{name}"
        value, hint = values.get(name), hints[field]
        inner = next((one for one in (hint, *get_args(hint)) if _nests(one)), None)
        if inner is not None and value is not None:
            if not isinstance(value, dict):
                raise InvalidConfig(f"{key} must be named settings, not {_shown(value)}")
            given[field] = _read(inner, value, f"{key}.", composed)
        elif not suits(value, hint):
            raise InvalidConfig(f"{key} must be {describe(hint)}, not {_shown(value)}")
        elif Part in (hint, *get_args(hint)) and value is not None:
            given[field] = Part(key, composed)
        else:
            given[field] = _converted(value, hint)
    return kind(**given)


def _nests(hint: Any) -> bool:
    return hint is not Part and isinstance(hint, type) and is_dataclass(hint)


def plain(config: DictConfig) -> dict[str, Any]:
    """Settings as plain values, each `${...}` written out."""
    values: Any = OmegaConf.to_container(config, resolve=True)
    return {str(name): value for name, value in values.items()}


def _converted(value: Any, hint: Any) -> Any:
    """A value that suits a type, as one of that type: lists become tuples, 3 becomes 3.0."""
    origin, kinds = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _converted(value, kinds[0])
    if origin in (Union, types.UnionType):
        return _converted(value, next(one for one in kinds if suits(value, one)))
    if hint is float:
        return float(value)
    if origin is tuple:
        return tuple(_converted(one, kind) for one, kind in _pairs(value, hint))
    return value


def takes_words(kind: type[Settings], name: str) -> bool:
    """Whether a setting is of words, so that `output=7` means a folder called 7."""
    hint = get_type_hints(kind, include_extras=True).get(name)
    return str in (hint, *get_args(hint)) and not {int, float, bool} & {*get_args(hint)}


def check_fields(settings: Any, names: Sequence[str] | None = None) -> None:
    """Holds the fields of a dataclass against their types, as its `__post_init__` may ask.

    Args:
        settings: The object.
        names: Of the fields; None: of all.

    Raises:
        InvalidConfig: One does not suit; the sentence names it and says what would.
    """
    hints = get_type_hints(type(settings), include_extras=True)
    for name in names or [field.name for field in fields(settings) if field.init]:
        if not suits(value := getattr(settings, name), hints[name]):
            raise InvalidConfig(f"{name} must be {describe(hints[name])}, not {_shown(value)}")


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
            hold a `${...}` are not known yet, and suit everything. What is none of these is an
            object that is made, and suits every type but the plain ones.
        hint: A type of Python's, `Annotated` with a `Range` if need be. What is not one of the
            plain ones can only be made.
    """
    if hint is Any or hint is object or (isinstance(value, str) and "${" in value):
        return True
    origin, kinds = get_origin(hint), get_args(hint)
    if origin is Annotated:
        bounds = [one for one in kinds[1:] if isinstance(one, Range | OneOf)]
        return suits(value, kinds[0]) and all(one.holds(value) for one in bounds)
    if origin in (Union, types.UnionType):
        return any(suits(value, one) for one in kinds)
    if origin is Literal:
        return any(value == one and type(value) is type(one) for one in kinds)
    if hint is Part:
        return isinstance(value, dict) and "_target_" in value
    if isinstance(value, dict) and "_target_" in value:
        return hint not in _SAID  # what it makes is for its own class to say
    if origin is tuple or _is(origin or hint, Sequence):
        return isinstance(value, list | tuple) and all(
            suits(one, kind) for one, kind in _pairs(value, hint)
        )
    if _is(origin or hint, Mapping):
        return isinstance(value, Mapping) and all(
            suits(one, kinds[1] if kinds else Any) for one in value.values()
        )
    return _suits_plain(value, hint)


def _suits_plain(value: Any, hint: Any) -> bool:
    if hint is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and not math.isnan(value)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint in (str, Path):
        return isinstance(value, str | Path)
    if hint in _SAID:
        return isinstance(value, hint)
    return not isinstance(value, bool | int | float | str | list | dict | None)


def describe(hint: Any) -> str:
    """Says in plain words what a type asks for."""
    origin, kinds = get_origin(hint), get_args(hint)
    if origin is Annotated:
        said = next((one.words for one in kinds[1:] if isinstance(one, Said)), None)
        said = said or next((str(one) for one in kinds[1:] if isinstance(one, OneOf)), None)
        bounds = "".join(f" {one}" for one in kinds[1:] if isinstance(one, Range))
        return said or f"{describe(kinds[0])}{bounds}"
    if origin in (Union, types.UnionType):
        each = list(dict.fromkeys(describe(one) for one in kinds))
        return (", or " if any(re.search(", | or ", one) for one in each) else " or ").join(each)
    if origin is Literal:
        return str(OneOf(tuple(map(str, kinds))))
    if hint is Part:
        return "a choice, or settings with a _target_"
    if hint in _SAID:
        return _SAID[hint]
    if origin is tuple or _is(origin or hint, Sequence):
        return f"a list of {_plural(kinds[0])}" if kinds else "a list"
    if _is(origin or hint, Mapping):
        return f"named {_plural(kinds[1])}" if kinds else "named values"
    return f"a {hint.__name__}, by its _target_" if isinstance(hint, type) else str(hint)


def _pairs(values: Sequence[Any], hint: Any) -> list[tuple[Any, Any]]:
    kinds = get_args(hint)
    if not kinds:
        return [(value, Any) for value in values]
    if get_origin(hint) is tuple and Ellipsis not in kinds:
        # Of the wrong length: nothing suits.
        return list(zip(values, kinds, strict=True)) if len(values) == len(kinds) else [("", int)]
    return [(value, kinds[0]) for value in values]


def _plural(hint: Any) -> str:
    if get_origin(hint) is Annotated:
        bounds = "".join(f" {one}" for one in get_args(hint)[1:] if isinstance(one, Range))
        return f"{_plural(get_args(hint)[0])}{bounds}"
    said = {int: "whole numbers", float: "numbers", str: "words", Any: "values"}
    return said.get(hint, describe(hint).replace("a list", "lists", 1))


def _is(hint: Any, kind: type) -> bool:
    return isinstance(hint, type) and hint is not str and issubclass(hint, kind)


def _shown(value: Any) -> str:
    said = {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)
    return said if len(said) <= _LONGEST else f"{said[:_LONGEST]}..."


_LONGEST = 200  # characters of a wrong value that an error repeats

Problem = tuple[str, str]
"""The key, and what is wrong there."""


def parameters(made: Any) -> dict[str, tuple[Any, bool]]:
    """The settings that a class or function takes.

    Returns:
        By name, the type, and whether it must be given; a name `**` where it takes any others.

    Raises:
        ValueError: It says nothing of its settings, or is none that can be called (TypeError).
    """
    hints = _hints(made)
    found: dict[str, tuple[Any, bool]] = {}
    for name, one in inspect.signature(made).parameters.items():
        hint = hints.get(name, Any)
        if one.kind is one.VAR_KEYWORD:
            listed = [each for each in get_args(hint)[1:] if isinstance(each, Fields)]
            for kind in (kind for each in listed for kind in each.classes):
                inner = get_type_hints(kind, include_extras=True)
                # null is what is not given
                found |= {each.name: (inner[each.name] | None, False) for each in fields(kind)}
            found |= {} if listed else {"**": (hint, False)}
        elif one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY):
            found[name] = (hint, one.default is one.empty)
    return found


def part_problems(
    made: Callable[..., Any], target: str, settings: Mapping[str, Any]
) -> Iterator[Problem]:
    """Looks for what is wrong with the settings of one part, the parts in it left out.

    Args:
        made: What the `_target_` names.
        target: The `_target_` itself, for the words.
        settings: What would be given, by name; "???" for what is yet to be said.

    Yields:
        Each unknown name, wrong type and missing setting.
    """
    known = parameters(made)
    for name, value in settings.items():
        if name not in known and "**" not in known:
            yield name, _unknown(name, target, list(known))
        hint, _ = known.get(name, (Any, False))
        if isinstance(value, str) and value == "???":
            yield name, f"it must be given: {describe(hint)}"
        elif not suits(value, hint):
            yield name, f"it must be {describe(hint)}, not {_shown(value)}"
    for name, (hint, needed) in known.items():
        if needed and name not in settings:
            yield name, f"it is missing: {describe(hint)}"


def _unknown(name: str, target: str, known: list[str]) -> str:
    near = get_close_matches(name, known, n=1)
    meant = f" (is {near[0]} meant?)" if near else ""
    return f"it is no setting of {target}{meant}, which has: {', '.join(sorted(known)) or 'none'}"


def _hints(made: Any) -> dict[str, Any]:
    """The types of the parameters; none where they cannot be found out."""
    try:
        target = made.__init__ if inspect.isclass(made) else made
        return get_type_hints(target, include_extras=True)
    except (NameError, TypeError, AttributeError):
        return {}
