"""What models are timed on: steps of the reference simulator, or random frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import UInt8

from chronosim.adapters.simulators.reference import ReferenceSimulator
from chronosim.protocols import Prompter
from chronosim.types import EditPrompt, Observation, Trajectory

__all__ = ["draw_drive", "random_frames"]

_SETTLE = 3  # held actions before the first step that counts: an episode begins standing still
_BLOCK = 8  # pixels of a block


def draw_drive(
    simulator: ReferenceSimulator,
    prompter: Prompter,
    policy: Callable[[Observation], Any],
    number: int,
    seed: int,
) -> tuple[list[EditPrompt], list[Trajectory]]:
    """Drives on in the reference simulator, through as many episodes as it takes.

    Args:
        simulator: Shows what truly happens.
        prompter: Words the actions.
        policy: Who drives.
        number: Of steps.
        seed: Of the first episode, and of the prompts' noise.

    Returns:
        What a model is asked at each step, and what truly came of it.
    """
    prompts: list[EditPrompt] = []
    truth: list[Trajectory] = []
    episode = seed
    while len(prompts) < number:
        frame, values = simulator.reset(episode)
        observation, ended, taken = Observation(frame, prompter.begin(values)), False, 0
        while not ended and len(prompts) < number:
            action = policy(observation)
            text, state = prompter(observation, action)
            happened, _, ended = simulator.step(action)
            assert happened is not None  # it was drawn
            if taken >= _SETTLE:
                prompts.append(EditPrompt(observation.frame, text, seed + len(prompts)))
                truth.append(happened.trajectory)
            taken += 1
            observation = Observation(happened.frame, state, taken)
        episode += 1
    return prompts, truth


def random_frames(
    number: int, size: tuple[int, int], seed: int
) -> list[UInt8[np.ndarray, "height width 3"]]:
    """Draws frames of coloured blocks."""
    rng = np.random.default_rng(seed)
    rows, columns = (-(-side // _BLOCK) for side in size)
    blocks = rng.integers(0, 256, (number, rows, columns, 3), np.uint8)
    large = blocks.repeat(_BLOCK, axis=1).repeat(_BLOCK, axis=2)
    return list(large[:, : size[0], : size[1]].copy())
