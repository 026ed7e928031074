"""Stretches of the reference simulator under a policy: what truly happened."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from chronosim.evaluation.truth.reference import Policy, Reference, draw_each
from chronosim.protocols import Prompter
from chronosim.simulators.reference import ReferenceSimulator
from chronosim.types import Observation

__all__ = ["Recording", "draw_recordings", "record"]


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """The beginning of an episode.

    Attributes:
        seed: Seed of the simulator's episode.
        actions: What was done, n of them.
        observations: What was seen, n + 1 of them: true frames, with the commanded state that the
            prompter reckons from the actions.
    """

    seed: int
    actions: tuple[Any, ...]
    observations: tuple[Observation, ...]


def draw_recordings(
    number: int, *, reference: Reference, steps: int, first_seed: int, workers: int = 1
) -> Iterator[Recording]:
    """Records the reference simulator; an episode that ends before `steps` is passed over.

    Args:
        number: How many.
        reference: What to record.
        steps: Held actions in each.
        first_seed: Seeds count up from here.
        workers: Processes; the recordings are the same whatever their number.

    Raises:
        InvalidConfig: 100 episodes in a row end too early.
    """
    return draw_each(
        partial(_draw, reference, steps), number, first_seed=first_seed, workers=workers
    )


def record(
    simulator: ReferenceSimulator, prompter: Prompter, policy: Policy, seed: int, steps: int
) -> Recording | None:
    """Records the first steps of an episode; None if it ends with them or before."""
    frame, values = simulator.reset(seed)
    actions: list[Any] = []
    observations = [Observation(frame, prompter.begin(values))]
    for step in range(steps):
        actions.append(policy(observations[-1]))
        _, state = prompter(observations[-1], actions[-1])
        prediction, _, ended = simulator.step(actions[-1])
        if ended or prediction is None:
            return None
        observations.append(Observation(prediction.frame, state, step + 1))
    return Recording(seed, tuple(actions), tuple(observations))


def _draw(reference: Reference, steps: int, seed: int) -> Recording | None:
    return record(reference.simulator(), reference.prompter, reference.policy(seed), seed, steps)
