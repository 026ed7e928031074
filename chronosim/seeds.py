"""How every seed follows from another: the one place where noise is derived."""

from __future__ import annotations

import numpy as np
from gymnasium.utils import seeding

_REDRAWN = 2**32  # depths of noise seeds that no step ever reaches


def generator(seed: int) -> np.random.Generator:
    """Gives the generator that an environment reset with this seed draws from.

    Args:
        seed: >= 0.
    """
    return seeding.np_random(seed)[0]


def draw_noise(rng: np.random.Generator) -> int:
    """Draws the seed that all noise of an episode follows from, 0 to 2**63 - 2.

    It is drawn once, when the episode begins, after the scenario has drawn its beginning.
    """
    return int(rng.integers(2**63 - 1))


def noise_seed(noise: int, step: int) -> int:
    """Derives the seed of one step's noise from that of a whole plan or episode.

    Args:
        noise: Of the plan or episode, >= 0.
        step: Which step of it, >= 0.

    Returns:
        A seed, 0 to 2**63 - 1.
    """
    return int(np.random.SeedSequence((noise, step)).generate_state(1, np.uint64)[0] >> 1)


def redrawn_noise(noise: int, count: int) -> int:
    """Gives the `count`-th other noise for an episode whose first noise is given, count >= 1."""
    return noise_seed(noise, _REDRAWN + count)
