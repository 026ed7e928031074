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

__all__ = ["Event", "Events"]


@dataclass(frozen=True, slots=True)
class Events:
    """Words actions as another prompter does, and lets things happen at given steps.

    Actions, commanded state and clock are the other prompter's. Words of an event follow those of
    the action, for models that take free words; one that does not, such as chronosim-nano, refuses
    them when the step comes, naming the word. For such models an event is an action: it takes the
    place of the agent's, or is added to it, and is worded as any other, in words that they know.
    The commanded state follows what is really done::

        _target_: chronosim.prompters.Events
        prompter: driving
        events:
          gust: {step: 3, steps: 2, add: [0.3, 0, 0]}   # steering, throttle, brake
          child: {step: 8, text: A child runs onto the road from the right.}

    Attributes:
        prompter: Whose words: a prompter, or its name in `scenarios/conf/prompter`.
        events: The fields of each `Event`, by a name of its own; where several happen at once, in
            this order.

    Raises:
        InvalidConfig: An event cannot be, or its action is none of the prompter's; the sentence
            names it.
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
        """How long one action is held: the other prompter's."""
        return self._prompter.seconds_per_step

    @property
    def action_space(self) -> gym.Space[Any]:
        """The other prompter's."""
        return self._prompter.action_space

    @property
    def state_space(self) -> gym.spaces.Box:
        """The other prompter's."""
        return self._prompter.state_space

    def begin(self, values: Mapping[str, float]) -> State:
        """Starts as the other prompter does.

        Raises:
            InvalidConfig: As the other prompter raises.
        """
        return self._prompter.begin(values)

    def __call__(self, observation: Observation, action: Any) -> tuple[str, State]:
        """Words the action, or what happens instead, and then what happens besides.

        Raises:
            InvalidAction: The agent's action does not lie in `action_space`.
        """
        now = [event for event in self._events.values() if event.happens(observation.step)]
        done = action
        if any(event.text is None for event in now):
            self._prompter(observation, action)  # an action that cannot be is refused all the same
            for event in now:
                done = _instead(event, done, self.action_space)
        text, state = self._prompter(observation, done)
        return " ".join([text, *(event.text for event in now if event.text is not None)]), state

    def suggest(self, observation: Observation) -> Mapping[str, Any]:
        """Suggests what the other prompter does."""
        return suggested(self._prompter, observation)

    def explain(self) -> dict[str, str]:
        """Gives what happens when, in plain words, by the events' names."""
        return {name: str(event) for name, event in self._events.items()}


def _instead(event: Event, action: Any, space: gym.Space[Any]) -> Any:
    """What is done where the event happens."""
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
    """What happens, and when: words for models that take free ones, or an action for any model.

    Exactly one of `text`, `action` and `add` says what happens.

    Attributes:
        step: The first step at which it happens, counted from 0.
        text: Words that follow those of the action: "A pedestrian steps onto the road."
        action: An action that is taken in place of the agent's: the brakes lock.
        add: Numbers that are added to the agent's action, kept within its bounds: the car skids.
        steps: How many steps it lasts, >= 1.
        every: After how many steps it comes again; None: never.

    Raises:
        InvalidConfig: A number that cannot be, or not exactly one thing happens.
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
                f"an event of {self.steps} steps comes again after more of them, "
                f"not after {self.every}"
            )

    def happens(self, step: int) -> bool:
        """Whether it is under way at a step."""
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
