"""A tree of moments: where a world stood, and every way it was taken from there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8

from chronosim.errors import InvalidConfig
from chronosim.types import Observation, Step


@dataclass(frozen=True, slots=True, eq=False)
class SessionNode:
    """One moment, and the step that led to it.

    Attributes:
        number: Its place in `SessionTree.nodes`, >= 0.
        parent: Number of the moment before; None: the beginning.
        observation: Where the world stands; its `step` is the moment's depth.
        step: What led here; None at the beginning.
        noise: The seed that the noise of steps from here on follows from.
        log: What the log that the step was read from says of itself, where another model than the
            session's took the step, or none did; None: the session's did.
    """

    number: int
    parent: int | None
    observation: Observation
    step: Step | None
    noise: int
    log: Mapping[str, Any] | None = None

    @property
    def frames(self) -> UInt8[np.ndarray, "time height width 3"]:
        """The trajectory that led here, the outcome last; the first frame at the beginning."""
        if self.step is None:
            return self.observation.frame[None]
        return self.step.prediction.trajectory

    @property
    def ended(self) -> bool:
        """Whether the episode ends here."""
        return self.step is not None and self.step.ended


class SessionTree:
    """Moments that grew from one beginning; nothing in it changes, it only grows.

    Args:
        first: Where the world begins.
        noise: The seed that the noise of every step follows from, as long as nobody changes it.
        most: Bytes of frames that it may hold.

    Attributes:
        nodes: Every moment, in the order they came about.
        size: Bytes of frames that it holds.
    """

    def __init__(self, first: Observation, noise: int, *, most: int = 2**30) -> None:
        self.nodes = [SessionNode(0, None, first, None, noise)]
        self.size = first.frame.nbytes
        self._most = most

    def __len__(self) -> int:
        return len(self.nodes)

    def __getitem__(self, number: int) -> SessionNode:
        """Gives a moment by its number.

        Raises:
            InvalidConfig: There is none of that number.
        """
        if not 0 <= number < len(self.nodes):
            raise InvalidConfig(f"there is no moment {number}: there are {len(self.nodes)}")
        return self.nodes[number]

    def check_room(self, size: int) -> None:
        """Checks that so many bytes of frames find room.

        Raises:
            InvalidConfig: They do not.
        """
        if self.size + size > self._most:
            raise InvalidConfig(
                f"a session holds up to {self._most / 2**20:,.0f} MB of frames, and "
                f"{(self.size + size) / 2**20:,.0f} MB are too many: save it and begin anew"
            )

    def add(
        self, parent: int, step: Step, noise: int, log: Mapping[str, Any] | None = None
    ) -> SessionNode:
        """Lets a moment grow from another; the arguments are `SessionNode`'s.

        Raises:
            InvalidConfig: The tree holds as many frames as it may.
        """
        self.check_room(step.prediction.trajectory.nbytes)
        node = SessionNode(len(self.nodes), self[parent].number, step.after, step, noise, log)
        self.nodes.append(node)
        self.size += step.prediction.trajectory.nbytes
        return node

    def children(self, number: int) -> list[SessionNode]:
        """What grew from a moment, in the order it came about."""
        return [node for node in self.nodes if node.parent == number]

    def same(self, parent: int, action: Any, noise: int) -> SessionNode | None:
        """What an action led to under the same noise, if it was taken already: it would again.

        What another model took it to is passed over: the session's may answer otherwise.
        """
        for node in self.children(parent):
            step = node.step
            if step is None or node.log is not None or node.noise != noise:
                continue
            if np.array_equal(step.action, action):
                return node
        return None

    def path(self, number: int) -> list[SessionNode]:
        """The moments from the beginning to one, both included."""
        return list(self._up(number))[::-1]

    def _up(self, number: int) -> Iterator[SessionNode]:
        node: SessionNode | None = self[number]
        while node is not None:
            yield node
            node = None if node.parent is None else self[node.parent]
