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

from chronosim.errors import InvalidConfig
from chronosim.prompters.wording import begin_state, check_action, check_choice, spread
from chronosim.types import Observation, State


@dataclass(frozen=True, slots=True)
class Values:
    """Words the actions of any robot or game by a template that fits into a YAML.

    The action is float32 (n,), the numbers in their order, each in its range; or, where `action`
    names choices, the index of one. The commanded state is float32 (m,), the numbers in their
    order; (0,) if there is none::

        template: "The pendulum turns at {speed:+d} rad/s. Push it with {torque:+d}% torque."
        action:
          torque: {low: -2, high: 2, scale: 50, resolution: 5}  # N m, worded in percent
        state:
          speed: {low: -8, high: 8, gain: {torque: 0.75}}  # rad/s

        template: "Go {way}."
        action:
          way: [left, down, right, up]

    A world model sees one frame. What a frame does not show, such as a speed, belongs into `state`,
    so that the words tell it.

    Attributes:
        template: The words; `{name}` stands for a whole number or a choice, and may have a format:
            `{torque:+d}` always has its sign.
        action: Numbers by name, each with the fields of `Number`; or one name with its choices.
        state: Numbers by name, each with the fields of `Number` and of `Reckoning`.
        seconds_per_step: How long one action is held, in seconds; None without a clock.

    Raises:
        InvalidConfig: A field is invalid, or the template leaves an action out, has an unknown
            name, or runs two numbers together.
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
    def action_names(self) -> tuple[str, ...]:
        """What each number of an action is, with its unit."""
        return tuple(self.action) if self._numbers else ()

    @property
    def state_names(self) -> tuple[str, ...]:
        """What each number of the commanded state is, with its unit."""
        return tuple(self.state)

    @property
    def action_space(self) -> gym.spaces.Box | gym.spaces.Discrete:
        """The numbers, float32 (n,); or the choices, 0 to n - 1."""
        return gym.spaces.Discrete(len(self._choices)) if self._choices else _box(self._numbers)

    @property
    def state_space(self) -> gym.spaces.Box:
        """The kept numbers, float32 (m,)."""
        return _box(self._kept)

    def begin(self, values: Mapping[str, float]) -> State:
        """Starts at the values given by name, by default each at its `start`.

        Raises:
            InvalidConfig: An unknown name, or a value outside its range.
        """
        starts = [reckoned.start for reckoned in self._reckoned]
        return begin_state(values, dict(zip(self.state, starts, strict=True)), self.state_space)

    def __call__(self, observation: Observation, action: Any) -> tuple[str, State]:
        """Words the action with the state before it.

        Raises:
            InvalidAction: It does not lie in `action_space`.
        """
        checked: Any
        if self._choices:
            checked = check_choice(action, self._choices)
        else:
            checked = check_action(action, _box(self._numbers))
        return self._text(checked, observation.state), self._after(observation.state, checked)

    def suggest(self, observation: Observation) -> dict[str, Any]:
        """Suggests each choice; or each number at its least and its most, the others at rest."""
        if self._choices:
            return {name: index for index, name in enumerate(self._choices)}
        return spread(_box(self._numbers), tuple(self.action))

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
    """The choices that an action is made of; none if it is made of numbers."""
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
                f"the template leaves out {name!r}, so no model could know of it: {template!r}"
            )
    # The first part's text stands before any name; every other between two.
    if any(name is not None and not any(map(str.isspace, text)) for text, name, _, _ in parts[1:]):
        raise InvalidConfig(
            f"the template runs two numbers together, and every pair would be a word of its own: "
            f"put a space between those of {template!r}"
        )


def _check_words(template: str, word: Callable[[], str]) -> None:
    try:
        text = word()
    except ValueError as error:
        raise InvalidConfig(f"the template {template!r} cannot be filled: {error}") from error
    # Models clean their prompts (models.engine.encoding): the clean text is what they learn.
    if (mended := ftfy.fix_text(html.unescape(text))) != text:
        raise InvalidConfig(f"the template must be plain text: {mended!r}, not {text!r}")


@dataclass(frozen=True, slots=True)
class Number:
    """How a number is worded: as a whole number, since models learn words one by one.

    Attributes:
        low: Its lowest value, in its own unit.
        high: Its highest value.
        scale: Units in words for each unit of the number: 50 words 2.0 as 100 percent.
        resolution: Wording step: 5 words 37 as 35. Finer steps make more words to learn, coarser
            ones coarser actions.

    Raises:
        InvalidConfig: The range is empty, `scale` is 0, or `resolution` is no whole number >= 1.
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
        """Returns the whole number that words a value."""
        return round(float(value) * self.scale / self.resolution) * int(self.resolution)

    def clip(self, value: float) -> float:
        """Returns the nearest value in the range."""
        return min(max(value, self.low), self.high)


@dataclass(frozen=True, slots=True)
class Reckoning:
    """How a number of the commanded state follows from the actions: dead reckoning.

    A step multiplies it by `keep`, adds each number of the action times its gain (or the gain of
    the choice taken), and clips it to its range.

    Attributes:
        start: Its value at the beginning, unless another is given.
        keep: Its share kept over a step: 1 for a place, less for a speed that fades.
        gain: Gains by the names of the action's numbers, or of its choices.
    """

    start: float = 0.0
    keep: float = 1.0
    gain: Mapping[str, float] = field(default_factory=dict)
