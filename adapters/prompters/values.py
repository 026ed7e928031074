"""Words any action by a template: numbers or choices, and a state reckoned from them."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from string import Formatter
from typing import Any

import ftfy
import gymnasium as gym
import numpy as np

from chronosim.errors import InvalidAction, InvalidConfig
from chronosim.prompters.wording import check_action, check_names, spread
from chronosim.types import Observation, State

__all__ = ["Number", "Reckoning", "Values"]


@dataclass(frozen=True, slots=True)
class Values:
    """Words the actions of any robot or game by a template; made to be written in YAML.

    The action is float32 (n,), the numbers in the order they are named in, each in its range; or,
    where `action` names choices, the index of one. The commanded state is float32 (m,), the numbers
    in the order they are named in; (0,) if there is none::

        template: "The pendulum turns at {speed:+d} rad/s. Push it with {torque:+d}% torque."
        action:
          torque: {low: -2, high: 2, scale: 50, resolution: 5}  # N m, worded in percent
        state:
          speed: {low: -8, high: 8, gain: {torque: 0.75}}  # rad/s

        template: "Go {way}."
        action:
          way: [left, down, right, up]

    A world model sees one frame: what a frame does not show, such as a speed, it knows only if the
    words tell it, so it belongs into `state`.

    Attributes:
        template: The words; `{name}` stands for a whole number or a choice, and may have a format:
            `{torque:+d}` always has its sign.
        action: Numbers by name, each with the fields of `Number`; or one name with its choices.
        state: Numbers by name, each with the fields of `Number` and of `Reckoning`.
        seconds_per_step: How long one action is held, in seconds; None where there is no clock.

    Raises:
        InvalidConfig: A field cannot be, or the template leaves an action out, names what there is
            not, or runs two numbers together.
    """

    template: str
    action: Mapping[str, Mapping[str, float] | Sequence[str]]
    state: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    seconds_per_step: float | None = None
    _choices: tuple[str, ...] = field(init=False, repr=False, compare=False)
    _numbers: tuple[Number, ...] = field(init=False, repr=False, compare=False)
    _kept: tuple[Number, ...] = field(init=False, repr=False, compare=False)
    _reckoned: tuple[Reckoning, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        choices = _choices(self.action)
        numbers: Mapping[str, Any] = {} if choices else self.action
        split = {name: _split(name, given) for name, given in self.state.items()}
        known = choices or tuple(self.action)
        for name, (_, reckoning) in split.items():
            for unknown in sorted(set(reckoning.gain) - set(known)):
                raise InvalidConfig(
                    f"{name} cannot gain by {unknown!r}; the action has: {', '.join(known)}"
                )
        made = {
            "_choices": choices,
            "_numbers": tuple(_number(name, given) for name, given in numbers.items()),
            "_kept": tuple(number for number, _ in split.values()),
            "_reckoned": tuple(reckoning for _, reckoning in split.values()),
        }
        for name, value in made.items():
            object.__setattr__(self, name, value)
        _check_template(self.template, tuple(self.action), tuple(self.state))
        low = 0 if choices else [number.low for number in self._numbers]
        _check_words(self.template, lambda: self._text(low, self.begin({})))

    @property
    def action_space(self) -> gym.spaces.Box | gym.spaces.Discrete:
        """The numbers, float32 (n,); or the choices, 0 to n - 1."""
        return gym.spaces.Discrete(len(self._choices)) if self._choices else _box(self._numbers)

    @property
    def state_space(self) -> gym.spaces.Box:
        """The kept numbers, float32 (m,)."""
        return _box(self._kept)

    def begin(self, values: Mapping[str, float]) -> State:
        """Starts with the values named; what is not named starts with its `start`.

        Raises:
            InvalidConfig: An unknown name, or a value out of its range.
        """
        check_names(values, tuple(self.state))
        begun = []
        for name, number, reckoned in zip(self.state, self._kept, self._reckoned, strict=True):
            value = float(values.get(name, reckoned.start))
            if not number.low <= value <= number.high:
                raise InvalidConfig(
                    f"{name} must lie from {number.low:g} to {number.high:g}, not {value:g}"
                )
            begun.append(value)
        return np.array(begun, np.float32)

    def __call__(self, observation: Observation, action: Any) -> tuple[str, State]:
        """Words the action with the state before it.

        Raises:
            InvalidAction: It does not lie in `action_space`.
        """
        checked = self._checked(action)
        return self._text(checked, observation.state), self._after(observation.state, checked)

    def suggest(self, observation: Observation) -> dict[str, Any]:
        """Suggests each choice; or each number at its least and its most, the others at rest."""
        if self._choices:
            return {name: index for index, name in enumerate(self._choices)}
        return spread(_box(self._numbers), tuple(self.action))

    def _checked(self, action: Any) -> Any:
        space = self.action_space
        if isinstance(space, gym.spaces.Box):
            return check_action(action, space)
        if isinstance(action, bool) or not space.contains(action):
            named = ", ".join(f"{index} ({name})" for index, name in enumerate(self._choices))
            raise InvalidAction(f"an action must be one of {named}, not {action!r}")
        return int(action)

    def _text(self, action: Any, state: State) -> str:
        kept = zip(self.state, self._kept, state, strict=True)
        words: dict[str, Any] = {name: number.word(value) for name, number, value in kept}
        if self._choices:
            [name] = self.action
            return self.template.format(**words, **{name: self._choices[action]})
        said = zip(self.action, self._numbers, action, strict=True)
        words |= {name: number.word(value) for name, number, value in said}
        return self.template.format(**words)

    def _after(self, state: State, action: Any) -> State:
        names = self._choices or tuple(self.action)
        taken = np.eye(len(names))[action] if self._choices else action
        inputs = dict(zip(names, taken, strict=True))
        after = []
        for value, number, reckoned in zip(state, self._kept, self._reckoned, strict=True):
            gained = sum(gain * float(inputs[name]) for name, gain in reckoned.gain.items())
            after.append(number.clip(reckoned.keep * float(value) + gained))
        return np.array(after, np.float32)


def _choices(action: Mapping[str, Any]) -> tuple[str, ...]:
    """The choices, if the action is one; none if it is numbers."""
    named = [name for name, given in action.items() if not isinstance(given, Mapping)]
    if not named and action:
        return ()
    if len(action) != 1:
        raise InvalidConfig(
            "an action is one or more numbers, or one name with a list of choices, not "
            f"{dict(action)}"
        )
    listed = action[named[0]]
    if isinstance(listed, str) or not isinstance(listed, Sequence):
        raise InvalidConfig(
            f"{named[0]} is a number with its range or a list of choices, not {listed!r}"
        )
    choices = tuple(map(str, listed))
    if len(choices) < 2 or len(set(choices)) < len(choices):
        raise InvalidConfig(f"{named[0]} needs two or more different choices, not {choices}")
    return choices


def _split(name: str, given: Any) -> tuple[Number, Reckoning]:
    if not isinstance(given, Mapping):
        raise InvalidConfig(f"{name} is a number with its range, not {given!r}")
    if not isinstance(given.get("gain", {}), Mapping):
        raise InvalidConfig(f"the gain of {name} is numbers by name, not {given['gain']!r}")
    reckoning = {one.name for one in fields(Reckoning)}
    return (
        _number(name, {key: value for key, value in given.items() if key not in reckoning}),
        Reckoning(**{key: value for key, value in given.items() if key in reckoning}),
    )


def _number(name: str, given: Mapping[str, Any]) -> Number:
    try:
        return Number(**given)
    except (TypeError, InvalidConfig) as error:
        raise InvalidConfig(f"{name} cannot be {dict(given)}: {error}") from error


def _box(numbers: Sequence[Number]) -> gym.spaces.Box:
    low, high = ([getattr(n, end) for n in numbers] for end in ("low", "high"))
    return gym.spaces.Box(
        np.array(low, np.float32), np.array(high, np.float32), (len(numbers),), np.float32
    )


def _check_template(template: str, action: Sequence[str], state: Sequence[str]) -> None:
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise InvalidConfig(f"the template {template!r} cannot be read: {error}") from error
    named = [name for _, name, _, _ in parts if name is not None]
    for name in named:
        if name not in (*action, *state):
            raise InvalidConfig(
                f"the template names {name!r}, but there are: {', '.join((*action, *state))}"
            )
    for name in action:
        if name not in named:
            raise InvalidConfig(
                f"the template leaves out {name!r}, so that no model could know of it: {template!r}"
            )
    # The first part's text stands before any name; every other between two.
    if any(name is not None and not any(map(str.isspace, text)) for text, name, _, _ in parts[1:]):
        raise InvalidConfig(
            f"the template runs two numbers together, which would make a word of every pair of "
            f"them: put a space between those of {template!r}"
        )


def _check_words(template: str, word: Callable[[], str]) -> None:
    try:
        text = word()
    except ValueError as error:
        raise InvalidConfig(f"the template {template!r} cannot be filled: {error}") from error
    # A model mends what it is told (models.engine.encoding); it must have learned the same.
    if (mended := ftfy.fix_text(html.unescape(text))) != text:
        raise InvalidConfig(f"the template must be plain text: {mended!r}, not {text!r}")


@dataclass(frozen=True, slots=True)
class Number:
    """How a number is worded: as a whole number, for words are learned one by one.

    Attributes:
        low: The least it can be, in its own unit.
        high: The most.
        scale: What one unit counts in words: 50 words 2.0 as 100, for percents of 2.0.
        resolution: Wording step: 5 words 37 as 35. With steps too fine a world has too many words
            to meet all of them while it learns; with steps too coarse it cannot act finely.

    Raises:
        InvalidConfig: The range is empty, or scale or resolution cannot be.
    """

    low: float
    high: float
    scale: float = 1.0
    resolution: int = 1

    def __post_init__(self) -> None:
        if not -float("inf") < self.low < self.high < float("inf"):
            raise InvalidConfig(f"a number lies from low to high, not {self.low} to {self.high}")
        if self.scale == 0 or self.resolution < 1 or self.resolution != int(self.resolution):
            raise InvalidConfig(
                "a number's scale must not be 0, and its resolution a whole number of 1 or more: "
                f"scale {self.scale}, resolution {self.resolution}"
            )

    def word(self, value: float) -> int:
        """The whole number that stands for a value in words."""
        return round(float(value) * self.scale / self.resolution) * int(self.resolution)

    def clip(self, value: float) -> float:
        """The nearest value in the range."""
        return min(max(value, self.low), self.high)


@dataclass(frozen=True, slots=True)
class Reckoning:
    """How a number of the commanded state follows from the actions: dead reckoning.

    After a step it is `keep` times what it was, plus each number of the action times its gain (or
    the gain of the choice taken), and stays in its range.

    Attributes:
        start: What it begins with where nobody says.
        keep: The share that is kept over a step: 1 for a place, less for a speed that fades.
        gain: By the names of the action's numbers, or of its choices.
    """

    start: float = 0.0
    keep: float = 1.0
    gain: Mapping[str, float] = field(default_factory=dict)
