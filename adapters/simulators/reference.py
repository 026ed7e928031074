"""What a reference simulator offers: held actions, seen at chosen moments, repeatable by seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from chronosim.errors import InvalidConfig
from chronosim.protocols import Prompter
from chronosim.types import Frame, Prediction


@runtime_checkable
class ReferenceSimulator(Protocol):
    """A real simulator, asked as a world model is asked: one held action, its trajectory.

    The same seed and actions give the same frames, whether drawn or not.

    Attributes:
        source: Name of the simulator, for the log.
        hold: World steps that one action is held for.
        stride: Every stride-th of them is in the trajectory; it divides `hold`.
        seconds_per_step: How long that is, in seconds.
    """

    source: str
    hold: int
    stride: int

    @property
    def seconds_per_step(self) -> float:
        """How long one action is held, in seconds."""
        ...

    def reset(self, seed: int) -> tuple[Frame, Mapping[str, float]]:
        """Begins an episode: its first frame and the initial values for a prompter."""
        ...

    def step(self, action: Any, *, draw: bool = True) -> tuple[Prediction | None, float, bool]:
        """Holds an action: what happened (None if not drawn), the reward, whether it ended."""
        ...


def branch(
    simulator: ReferenceSimulator, seed: int, history: Sequence[Any], action: Any
) -> Prediction:
    """Takes an action in the state that a seed and the actions since lead to.

    Simulators cannot be copied, but they repeat: the way is gone again, undrawn, which takes a
    hundredth of the time.

    Args:
        simulator: Where.
        seed: Of the episode.
        history: The actions before.
        action: The one to take.

    Returns:
        What happened.
    """
    simulator.reset(seed)
    for earlier in history:
        simulator.step(earlier, draw=False)
    prediction, _, _ = simulator.step(action)
    assert prediction is not None  # it was drawn
    return prediction


def check_clock(simulator: ReferenceSimulator, prompter: Prompter) -> None:
    """Checks that a prompter reckons with as long a step as a simulator makes.

    Raises:
        InvalidConfig: It does not.
    """
    held, reckoned = simulator.seconds_per_step, prompter.seconds_per_step
    if reckoned is None or abs(reckoned - held) > 1e-6:
        raise InvalidConfig(
            f"simulator.hold={simulator.hold} lasts {held:.2f} s, but the prompter reckons with "
            f"{reckoned} s: add prompter.seconds_per_step={held:.2f}"
        )
