"""Draws from one seed after another, in parallel, the same whatever the number of processes."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import count
from typing import TypeVar

from chronosim.errors import InvalidConfig

__all__ = ["draw_each"]

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
