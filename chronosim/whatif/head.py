"""The growing end of a branch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from chronosim.episodes import Step
from chronosim.types import Observation
from chronosim.whatif.actions import ActionKey
from chronosim.whatif.plan import Plan
from chronosim.whatif.store import StoredBranch

__all__ = ["Head", "Node", "Path"]

Path = tuple[ActionKey, ...]
"""The actions that lead from the root to a moment."""


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A moment of the tree.

    Attributes:
        step: What led there.
        owner: The branch whose episode holds that step.
        place: How many steps of that episode lead there.
    """

    step: Step
    owner: str
    place: int


@dataclass(slots=True, eq=False)
class Head:
    """Where a plan has got to.

    Attributes:
        plan: The plan.
        observation: Where the world stands on its branch.
        path: The actions that led there, the one decided for included.
        stored: What the data set held of this branch from the beginning.
        action: What it does next.
        node: Where it stands; None at the root.
        steps: What happened so far.
        split: After how many steps its own episode begins; None: not yet.
        written: Steps of its own episode that are in the data set.
    """

    plan: Plan
    observation: Observation
    path: Path = ()
    stored: StoredBranch | None = None
    action: Any = None
    node: Node | None = None
    steps: list[Step] = field(default_factory=list)
    split: int | None = field(init=False)
    written: int = field(init=False)

    def __post_init__(self) -> None:
        self.split = None if self.stored is None else self.stored.split
        self.written = 0 if self.stored is None else len(self.stored.steps) - self.stored.split

    @property
    def alive(self) -> bool:
        """Whether the plan goes on: neither done nor ended by the scenario."""
        ended = bool(self.steps) and self.steps[-1].terminated
        return not ended and len(self.steps) < self.plan.steps

    @property
    def unwritten(self) -> bool:
        """Whether the step to come belongs into its own episode and is not there yet."""
        return self.split is not None and len(self.steps) - self.split >= self.written

    def move(self, node: Node) -> None:
        """Goes on to a moment."""
        self.steps.append(node.step)
        self.node, self.observation = node, node.step.after
