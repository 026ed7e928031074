"""Times world models side by side: each takes its turn in every round, on the same prompts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
import torch

from chronosim.evaluation.speed.probes import finish, flops_of, memory_of, seconds_of
from chronosim.models.sampling import Sampling
from chronosim.protocols import WorldModel
from chronosim.types import EditPrompt, Prediction

__all__ = ["Contender", "Timed", "matmul_rate", "measure"]


@dataclass(frozen=True, slots=True, eq=False)
class Contender:
    """A way to predict.

    Attributes:
        name: What it is called in the table.
        model: Answers.
        kind: `outcome` or `preview`: those of one kind give the same frames.
        sampling: How it samples.
        transformer: The network that it denoises with.
        stock: Whether it is what the others of its kind are compared with.
        forget: Called before each turn: nothing remembered of an earlier one may help.
    """

    name: str
    model: WorldModel
    kind: str
    sampling: Sampling
    transformer: Any
    stock: bool = False
    forget: Callable[[], None] = lambda: None


@dataclass(slots=True, eq=False)
class Timed:
    """What was measured of a contender.

    Attributes:
        seconds: Of each call, by the number of environments it stepped.
        predictions: What it answered with one environment.
        loops: Seconds of the denoising in each call for one environment.
        memory: Bytes at most in an untimed call for one environment (`memory_of`).
        flops: Of the transformer in such a call (`flops_of`).
    """

    seconds: dict[int, list[float]] = field(default_factory=dict)
    predictions: list[Prediction] = field(default_factory=list)
    loops: list[float] = field(default_factory=list)
    memory: int | None = None
    flops: int = 0

    def latency(self, share: float, environments: int = 1) -> float:
        """A percentile of the seconds of a call."""
        return float(np.percentile(self.seconds[environments], share))

    def rate(self, environments: int) -> float:
        """Environment steps a second, by the median call."""
        return environments / self.latency(50, environments)


def measure(
    contenders: Sequence[Contender],
    prompts: Sequence[EditPrompt],
    environments: Sequence[int],
    device: torch.device,
    progress: Callable[[], None],
) -> list[Timed]:
    """Times contenders, after a warm-up of each at every number of environments.

    In each round each takes its turn at each number, and who begins changes from round to round,
    so that whatever else the machine does hits all alike.

    Args:
        contenders: Whom.
        prompts: One for each round, all with different frames; the call for n environments takes
            the n that begin there.
        environments: Numbers of environments; 1 is among them.
        device: Whose memory is looked at.
        progress: Called after every call; there are `len(contenders) * len(environments) *
            (len(prompts) + 1)` and two more for each contender.
    """
    found = [Timed({number: [] for number in environments}) for _ in contenders]
    for contender, timed in zip(contenders, found, strict=True):
        for number in environments:
            _call(contender, _take(prompts, 0, number), device)
            progress()
        alone = partial(contender.model.predict, _take(prompts, 0, 1))
        contender.forget()
        timed.memory = memory_of(alone, device)
        progress()
        contender.forget()
        timed.flops = flops_of(alone, contender.transformer)
        progress()
    order = list(range(len(contenders)))
    for turn in range(len(prompts)):
        for number in environments:
            for index in order[turn % len(order) :] + order[: turn % len(order)]:
                given = _take(prompts, turn, number)
                answer, seconds, loop = _call(contenders[index], given, device)
                found[index].seconds[number].append(seconds)
                if number == 1:
                    found[index].loops.append(loop)
                    found[index].predictions += answer
                progress()
    return found


def matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Measures floating-point operations a second of a large product of matrices; the median."""
    side, times = (8192, 20) if device.type == "cuda" else (1024, 10)
    a = torch.randn(side, side, device=device).to(dtype)
    seconds = []
    for _ in range(times + 2):
        finish(device)
        began = perf_counter()
        a @ a
        finish(device)
        seconds.append(perf_counter() - began)
    return 2 * side**3 / float(np.median(seconds[2:]))


def _take(prompts: Sequence[EditPrompt], first: int, number: int) -> list[EditPrompt]:
    return [prompts[(first + row) % len(prompts)] for row in range(number)]


def _call(
    contender: Contender, prompts: Sequence[EditPrompt], device: torch.device
) -> tuple[Sequence[Prediction], float, float]:
    contender.forget()
    return seconds_of(partial(contender.model.predict, prompts), contender.transformer, device)
