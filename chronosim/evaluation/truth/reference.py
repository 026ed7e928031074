"""What a world model is measured against: a reference simulator, who acts in it, its draws."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Any, TypeVar

import numpy as np
from jaxtyping import UInt8

from chronosim.errors import InvalidConfig
from chronosim.protocols import Prompter
from chronosim.simulators.reference import ReferenceSimulator
from chronosim.types import Observation

__all__ = ["Policy", "Reference", "Region", "draw_each", "outcomes_only"]

Policy = Callable[[Observation], Any]
"""From an observation to an action."""


@dataclass(frozen=True, slots=True)
class Region:
    """The lower part of a frame, to be judged with and without.

    Instruments, say: they move on their own, and tell of an action what the rest does not.

    Attributes:
        name: What is there.
        first_row: It covers the rows from here down, >= 1.

    Raises:
        InvalidConfig: `first_row` is below 1.
    """

    name: str
    first_row: int

    def __post_init__(self) -> None:
        if self.first_row < 1:
            raise InvalidConfig(
                f"a region to leave out must begin in row 1 or below, not in row {self.first_row}"
            )

    def cut(
        self, frames: UInt8[np.ndarray, "*many height width 3"]
    ) -> UInt8[np.ndarray, "*many rows width 3"]:
        """Gives what lies above it."""
        return frames[..., : self.first_row, :, :]


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference simulator and who acts in it.

    It can be pickled where its parts can, so that several processes draw from it.

    Attributes:
        simulator: Makes the simulator.
        prompter: Words the actions, and keeps the commanded state.
        policy: Makes the policy of an episode from a seed.
        alternatives: Makes from a seed a policy that draws another action each time it is asked.
        left_out: A region in which outcomes need not differ to be told apart; None: no such region.
    """

    simulator: Callable[[], ReferenceSimulator]
    prompter: Prompter
    policy: Callable[[int], Policy]
    alternatives: Callable[[int], Policy]
    left_out: Region | None = None


def outcomes_only(reference: Reference) -> Reference:
    """Gives the same reference with trajectories of one frame, the outcome."""
    return replace(reference, simulator=partial(_coarse, reference.simulator))


def _coarse(make: Callable[[], ReferenceSimulator]) -> ReferenceSimulator:
    simulator = make()
    simulator.stride = simulator.hold
    return simulator


_PATIENCE = 100  # seeds in a row that may give nothing

Found = TypeVar("Found")


def draw_each(
    draw: Callable[[int], Found | None], number: int, *, first_seed: int, workers: int
) -> Iterator[Found]:
    """Draws from each seed in turn until enough of them gave something.

    Args:
        draw: Draws from a seed; None where it gives nothing. Pickled, if there are processes.
        number: How many to find.
        first_seed: Seeds count up from here.
        workers: Processes; 1: this one.

    Yields:
        What was found, in the order of the seeds.

    Raises:
        InvalidConfig: 100 seeds in a row gave nothing.
    """
    found, empty = 0, 0
    results = _mapped(draw, first_seed, workers)
    try:
        while found < number:
            result = next(results)
            if result is not None:
                found, empty = found + 1, 0
                yield result
                continue
            empty += 1
            if empty == _PATIENCE:
                raise InvalidConfig(
                    f"{_PATIENCE} episodes in a row gave nothing to judge by: they end too early, "
                    "or their actions lead to outcomes too much alike (a smaller apart= lets "
                    "more of them count)"
                )
    finally:
        results.close()


def _mapped(
    draw: Callable[[int], Found | None], first_seed: int, workers: int
) -> Generator[Found | None, None, None]:
    seeds = count(first_seed)
    if workers == 1:
        yield from map(draw, seeds)
        return
    # No further ahead than keeps every process busy, for nobody knows which seed is the last.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context) as pool:
        ahead: deque[Future[Found | None]] = deque()
        try:
            while True:
                while len(ahead) < 2 * workers:
                    ahead.append(pool.submit(draw, next(seeds)))
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()
