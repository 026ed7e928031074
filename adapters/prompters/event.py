"""Something that happens at a given step, whatever the agent does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chronosim.errors import InvalidConfig

__all__ = ["Event"]


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
