"""A plan: what to do step by step, fixed beforehand or decided by a policy on the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from chronosim.errors import InvalidConfig
from chronosim.types import Observation

__all__ = ["Plan"]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What to do at each step.

    Attributes:
        name: What its branch is called; one word or a few.
        steps: For how many steps it says what to do, >= 1.
        act: Gives the action at an observation and a depth, 0 to `steps` - 1; asked once each, in
            order.

    Raises:
        InvalidConfig: It has no name, or no step.
    """

    name: str
    steps: int
    act: Callable[[Observation, int], Any]

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise InvalidConfig("a plan needs a name that can be read")
        if self.steps < 1:
            raise InvalidConfig(f"the plan {self.name!r} needs an action or more, not {self.steps}")

    @staticmethod
    def of(name: str, actions: Sequence[Any]) -> Plan:
        """Makes a plan of its actions, whatever is seen."""
        return Plan(name, len(actions), lambda _, depth: actions[depth])

    @staticmethod
    def following(name: str, policy: Callable[[Observation], Any], steps: int) -> Plan:
        """Makes a plan of a policy, which decides by what it sees on the way."""
        return Plan(name, steps, lambda observation, _: policy(observation))
