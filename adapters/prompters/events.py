"""Scripted events, each at a given step: a prompter around a prompter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np

from chronosim.errors import InvalidAction, InvalidConfig
from chronosim.prompters.wording import make_value, suggested
from chronosim.protocols import Prompter
from chronosim.settings import parts as config
from chronosim.types import Observation, State


@dataclass(frozen=True, slots=True)
class Events:
    """Words actions as another prompter does, and makes things happen at given steps.

    Actions, commanded state and clock are the other prompter's. The words of an event follow those
    of the action; a model that takes no free words, such as chronosim-nano, refuses them when the
    step comes, naming the word. For such models an event is an action that replaces the agent's or
    is added to it, and is worded like any other. The commanded state follows what is done::

        _target_: chronosim.prompters.Events
        prompter: driving
        events:
          gust: {step: 3, steps: 2, add: [0.3, 0, 0]}   # steering, throttle, brake
          child: {step: 8, text: A child runs onto the road from the right.}

    Attributes:
        prompter: A prompter, or its name in `scenarios/conf/prompter`.
        events: The fields of each `Event` by its name; those of one step happen in this order.

    Raises:
        InvalidConfig: An event is invalid, or the prompter has no such action; the sentence names
            the event.
    """

    prompter: str | Prompter
    events: Mapping[str, Any]
    _prompter: Prompter = field(init=False, repr=False, compare=False)
    _events: Mapping[str, Event] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        given = self.prompter
        prompter = config.load("prompter", given) if isinstance(given, str) else given
        made = {
            name: make_value(Event, event, f"the event {name!r}")
            for name, event in self.events.items()
        }
        object.__setattr__(self, "_prompter", prompter)
        object.__setattr__(self, "_events", made)
        for name, event in made.items():
            _check_fits(name, event, prompter)

    @property
    def seconds_per_step(self) -> float | None:
        """Duration of one action, in seconds, of the other prompter."""
        return self._prompter.seconds_per_step

    @property
    def action_names(self) -> tuple[str, ...]:
        """What each number of an action is, with its unit."""
        return tuple(getattr(self._prompter, "action_names", ()))

    @property
    def state_names(self) -> tuple[str, ...]:
        """What each number of the commanded state is, with its unit."""
        return tuple(getattr(self._prompter, "state_names", ()))

    @property
    def action_space(self) -> gym.Space[Any]:
        """That of the other prompter."""
        return self._prompter.action_space

    @property
    def state_space(self) -> gym.spaces.Box:
        """That of the other prompter."""
        return self._prompter.state_space

    def begin(self, values: Mapping[str, float]) -> State:
        """Starts as the other prompter does.

        Raises:
            InvalidConfig: The other prompter refuses the values.
        """
        return self._prompter.begin(values)

    def __call__(self, observation: Observation, action: Any) -> tuple[str, State]:
        """Words the action, or what replaces it, and then the events in words.

        Raises:
            InvalidAction: The agent's action does not lie in `action_space`.
        """
        now = [event for event in self._events.values() if event.happens(observation.step)]
        done = action
        if any(event.text is None for event in now):
            self._prompter(observation, action)  # an invalid action is refused all the same
            for event in now:
                done = _instead(event, done, self.action_space)
        text, state = self._prompter(observation, done)
        return " ".join([text, *(event.text for event in now if event.text is not None)]), state

    def suggest(self, observation: Observation) -> Mapping[str, Any]:
        """Suggests what the other prompter does."""
        return suggested(self._prompter, observation)

    def explain(self) -> dict[str, str]:
        """Tells in plain words what happens when, by the events' names."""
        return {name: str(event) for name, event in self._events.items()}


def _instead(event: Event, action: Any, space: gym.Space[Any]) -> Any:
    """The action done where the event happens."""
    if event.add is not None and isinstance(space, gym.spaces.Box):
        pushed = np.asarray(action, np.float32) + np.asarray(event.add, np.float32)
        return np.clip(pushed, space.low, space.high)
    return action if event.action is None else event.action


def _check_fits(name: str, event: Event, prompter: Prompter) -> None:
    space = prompter.action_space
    if event.add is not None and (
        not isinstance(space, gym.spaces.Box) or np.shape(event.add) != space.shape
    ):
        raise InvalidConfig(
            f"the event {name!r} cannot add {list(event.add)} to an action, which is {space}"
        )
    if event.action is not None:
        seen = Observation(np.zeros((16, 16, 3), np.uint8), prompter.begin({}))
        try:
            prompter(seen, event.action)
        except InvalidAction as error:
            raise InvalidConfig(f"the event {name!r}: {error}") from error


@dataclass(frozen=True, slots=True)
class Event:
    """What happens, and when: free words, or an action for models that do not take those.

    Exactly one of `text`, `action` and `add` is given.

    Attributes:
        step: The first step at which it happens, counted from 0.
        text: Words that follow those of the action: "A pedestrian steps onto the road."
        action: Replaces the agent's action: the brakes lock.
        add: Numbers added to the agent's action, within its bounds: the car skids.
        steps: How many steps it lasts, >= 1.
        every: Its period in steps; None: it happens once.

    Raises:
        InvalidConfig: A number is out of range, or not exactly one of the three is given.
    """

    step: int
    text: str | None = None
    action: object = None
    add: Sequence[float] | None = None
    steps: int = 1
    every: int | None = None

    def __post_init__(self) -> None:
        happening = [what for what in (self.text, self.action, self.add) if what is not None]
        if len(happening) != 1 or (self.text is not None and not self.text.strip()):
            raise InvalidConfig(
                "an event needs one of text, action and add: text="
                f"{self.text!r}, action={self.action!r}, add={self.add!r}"
            )
        if self.step < 0 or self.steps < 1:
            raise InvalidConfig(
                f"an event begins at step 0 or later and lasts 1 step or more: step {self.step}, "
                f"steps {self.steps}"
            )
        if self.every is not None and self.every <= self.steps:
            raise InvalidConfig(
                f"an event of {self.steps} steps must come again after more than that, "
                f"not after {self.every}"
            )

    def happens(self, step: int) -> bool:
        """Whether the event is under way at a step."""
        since = step - self.step
        if self.every is not None and since >= 0:
            since %= self.every
        return 0 <= since < self.steps

    def __str__(self) -> str:
        when = f"at step {self.step}"
        if self.steps > 1:
            when = f"from step {self.step} to {self.step + self.steps - 1}"
        if self.every is not None:
            when += f", and every {self.every} steps after it"
        if self.text is not None:
            return f"{when}: {self.text}"
        if self.add is not None:
            return f"{when}: {list(self.add)} is added to the action"
        return f"{when}: the action is {self.action}, whatever the agent does"
