"""Where policies begin: the same true frames in the reference simulator and in the world model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from chronosim.evaluation.truth.drawing import draw_each
from chronosim.evaluation.truth.recordings import record
from chronosim.evaluation.truth.reference import Policy, Reference
from chronosim.types import Observation

__all__ = ["Start", "draw_starts"]


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """A state of the reference simulator in which every policy begins once.

    Attributes:
        seed: Of the simulator's episode, and of a policy that draws.
        history: The actions that lead there from its first frame.
        observation: What is seen there; steps are counted from here.
    """

    seed: int
    history: tuple[Any, ...]
    observation: Observation


def draw_starts(
    number: int,
    *,
    reference: Reference,
    lead_in: Policy | None = None,
    longest: int = 0,
    first_seed: int,
    workers: int = 1,
) -> Iterator[Start]:
    """Draws starts from fresh episodes, one from each.

    Args:
        number: How many.
        reference: Where; its own policy is not asked.
        lead_in: Who acts from the episode's first frame to the start, so that not all episodes
            begin alike (every car stands still on a straight at first); None: nobody.
        longest: The lead-in takes from half as many held actions to as many, drawn by the seed.
        first_seed: Seeds count up from here; those of episodes that end too early are left out.
        workers: Processes; the starts are the same whatever their number.

    Raises:
        InvalidConfig: 100 episodes in a row end within the lead-in.
    """
    draw = partial(_draw, reference, lead_in, longest if lead_in is not None else 0)
    return draw_each(draw, number, first_seed=first_seed, workers=workers)


def _draw(reference: Reference, lead_in: Policy | None, longest: int, seed: int) -> Start | None:
    steps = int(np.random.default_rng(seed).integers((longest + 1) // 2, longest + 1))
    simulator = reference.simulator()
    if lead_in is None or steps == 0:
        frame, values = simulator.reset(seed)
        return Start(seed, (), Observation(frame, reference.prompter.begin(values)))
    way = record(simulator, reference.prompter, lead_in, seed, steps)
    if way is None:
        return None
    last = way.observations[-1]
    return Start(seed, way.actions, Observation(last.frame, last.state))
