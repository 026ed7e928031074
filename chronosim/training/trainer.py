"""One training loop for everything: exact resume, EMA, a log and its curve."""

from __future__ import annotations

import csv
import logging
import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from chronosim.errors import InvalidConfig
from chronosim.files import refusals_said, whole_file
from chronosim.progress import Progress, listening, tell

_SIDE = 256  # of the matrices by whose product the number formats are measured

_logger = logging.getLogger(__name__)


def fast_precision() -> AbstractContextManager[Any]:
    """What networks are computed in while they are trained: `number_format`, where it is safe."""
    return torch.autocast("cpu", torch.bfloat16, enabled=number_format() is torch.bfloat16)


@cache
def number_format() -> torch.dtype:
    """The number format in which this CPU multiplies fastest, measured once and said in a line.

    CPUs with units for bfloat16 (AVX-512 or AMX) are two to ten times as fast in it as in float32;
    those without are thirty times slower.
    """
    rates = {kind: _rate(kind) for kind in (torch.float32, torch.bfloat16)}
    chosen = max(rates, key=lambda kind: rates[kind])
    full, half = rates.values()
    name = str(chosen).removeprefix("torch.")
    said = f"training in {name}: {full:.0f} GFLOP/s in float32, {half:.0f} in bfloat16"
    _logger.info(said)
    return chosen


def _rate(kind: torch.dtype) -> float:
    """GFLOP/s of a matrix product, the best of three."""
    matrix = torch.ones(_SIDE, _SIDE, dtype=kind)
    _seconds(lambda: matrix @ matrix)  # the first one sets things up
    return 2e-9 * _SIDE**3 / min(_seconds(lambda: matrix @ matrix) for _ in range(3))


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return max(time.perf_counter() - began, 1e-9)


@runtime_checkable
class Objective(Protocol):
    """What is trained, and what its loss is.

    The trainer knows nothing of frames; an objective knows nothing of optimisers.
    """

    @property
    def module(self) -> nn.Module:
        """What is trained: those of its parameters that require gradients."""
        ...

    def loss(self, progress: float, rng: np.random.Generator, noise: torch.Generator) -> Tensor:
        """The loss of one batch drawn with `rng`, at `progress` (0 to 1) of the training."""
        ...

    def evaluate(self) -> Mapping[str, float]:
        """Figures on held-out data, higher or lower as their names say."""
        ...


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast.

    Attributes:
        steps: Optimiser steps; 0 where the stage is left out.
        learning_rate: Its peak; reached after `warmup` steps, then a cosine down to a fiftieth.
        warmup: Steps of linear rise.
        ema: Decay of the averaged weights that are evaluated and kept, at most: of a short training
            they average over a tenth of the steps, not over its beginning.
        clip: Largest norm of the gradient.
        evaluate_every: Steps between evaluations and checkpoints.
        seed: Seed of everything drawn.

    Raises:
        InvalidConfig: A number is not positive (steps: negative), or `ema` lies outside 0 to 1.
    """

    steps: int
    learning_rate: float
    warmup: int = 100
    ema: float = 0.998
    clip: float = 1.0
    evaluate_every: int = 250
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.learning_rate, self.evaluate_every) <= 0 or self.steps < 0:
            raise InvalidConfig(
                f"learning_rate and evaluate_every must be > 0, steps at least 0: {self}"
            )
        if not 0 <= self.ema < 1:
            raise InvalidConfig(f"ema must lie in [0, 1), not {self.ema}")

    def rate(self, step: int) -> float:
        """The learning rate of a step (0 to steps - 1)."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.learning_rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))


def train(
    objective: Objective, schedule: Schedule, folder: Path, *, progress: Progress | None = None
) -> nn.Module:
    """Trains, or goes on from the checkpoint in `folder`.

    Every batch is drawn from (seed, step), so a resumed training takes the same steps as one that
    was never broken off. Frozen parameters are neither copied nor saved: a LoRA on a large model
    leaves a small checkpoint. Figures are logged as they are measured.

    Args:
        objective: What to train.
        schedule: How long and how fast.
        folder: Gets `checkpoint.pt`, `log.csv` and `curve.png`; nothing if there are no steps.
        progress: Called with the folder's name, the steps taken, and how many there are to be.

    Returns:
        The objective's module, holding the averaged weights.

    Raises:
        InvalidConfig: It was trained for more steps than the schedule has.
        EpisodeWriteError: The disk refuses; the last checkpoint stays.
    """
    module = objective.module
    if not schedule.steps:
        return module
    folder.mkdir(parents=True, exist_ok=True)
    state = _State(module, schedule, folder / "checkpoint.pt")
    started = time.monotonic()
    running = []
    with listening(progress):
        tell(folder.name, state.step, schedule.steps)
        while state.step < schedule.steps:
            running.append(state.advance(objective))
            tell(folder.name, state.step, schedule.steps)
            if state.step % schedule.evaluate_every == 0 or state.step == schedule.steps:
                with state.averaged():
                    figures = objective.evaluate()
                row = {"step": state.step, "loss": float(np.mean(running)), **figures}
                running = []
                _log(folder / "log.csv", row | {"seconds": round(time.monotonic() - started)})
                said = "  ".join(f"{name} {value:.5g}" for name, value in row.items())
                _logger.info("%s: %s", folder.name, said)
                state.save()
    _draw(folder)
    state.keep_average()
    return module


class _State:
    """Weights, their average, the optimiser and the step: what a checkpoint holds."""

    def __init__(self, module: nn.Module, schedule: Schedule, path: Path) -> None:
        self.module, self.schedule, self.path = module, schedule, path
        self.step = 0
        parameters = [p for p in module.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            parameters, lr=schedule.learning_rate, betas=(0.9, 0.99), weight_decay=0.0
        )
        self.average = {name: v.detach().clone() for name, v in _trained(module).items()}
        if path.is_file():
            self._load()

    def advance(self, objective: Objective) -> float:
        rng = np.random.default_rng([self.schedule.seed, self.step])
        noise = torch.Generator().manual_seed(int(rng.integers(2**62)))
        torch.manual_seed(int(rng.integers(2**62)))  # for dropout, which takes no generator
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.rate(self.step)
        loss = objective.loss(self.step / self.schedule.steps, rng, noise)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.module.parameters(), self.schedule.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self._update_average()
        return float(loss.detach())

    def averaged(self) -> _Swapped:
        """The averaged weights are in the module while this context is open."""
        return _Swapped(self.module, self.average)

    def keep_average(self) -> None:
        _put(self.module, self.average)

    def save(self) -> None:
        """Replaces the checkpoint in one move, so that a kill leaves the old one whole."""
        kept = {
            "step": self.step,
            "module": _trained(self.module),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
        }
        with whole_file(self.path) as draft:
            torch.save(kept, draft)

    def _load(self) -> None:
        saved = torch.load(self.path, weights_only=True)
        self.step = saved["step"]
        if self.step > self.schedule.steps:
            raise InvalidConfig(
                f"{self.path.parent} was trained for {self.step} steps already: it cannot be one "
                f"of steps={self.schedule.steps}"
            )
        _put(self.module, saved["module"])
        self.average = {name: saved["average"][name] for name in self.average}
        self.optimizer.load_state_dict(saved["optimizer"])

    @torch.no_grad()
    def _update_average(self) -> None:
        # Early on the average would mostly remember the random start: warm it up.
        late = max(0.0, 1 - 10 / self.schedule.steps)  # of a short training the last tenth counts
        decay = min(self.schedule.ema, late, self.step / (self.step + 10))
        for name, value in _trained(self.module).items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - decay)
            else:
                self.average[name].copy_(value)


def _trained(module: nn.Module) -> dict[str, Tensor]:
    """All weights but the frozen ones."""
    frozen = {name for name, value in module.named_parameters() if not value.requires_grad}
    return {name: v for name, v in module.state_dict().items() if name not in frozen}


def _put(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Puts weights back that `_trained` gave; checkpoints of earlier builds hold the frozen too."""
    missing, unexpected = module.load_state_dict(weights, strict=False)
    lost = {*unexpected, *(set(missing) & set(_trained(module)))}
    if lost:
        raise InvalidConfig(f"the checkpoint is of another module: {', '.join(sorted(lost))}")


class _Swapped:
    def __init__(self, module: nn.Module, weights: Mapping[str, Tensor]) -> None:
        self.module, self.weights = module, weights

    def __enter__(self) -> None:
        self.own = {name: v.detach().clone() for name, v in _trained(self.module).items()}
        _put(self.module, self.weights)
        self.module.eval()

    def __exit__(self, *_: object) -> None:
        _put(self.module, self.own)
        self.module.train()


def _log(path: Path, row: Mapping[str, Any]) -> None:
    new = not path.exists()
    with refusals_said(path), path.open("a", newline="") as file:
        writer = csv.DictWriter(file, row)
        if new:
            writer.writeheader()
        writer.writerow(row)


def _draw(folder: Path) -> None:
    """Draws every column of the log over the steps."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return  # the log is complete without its picture; matplotlib comes with the extra "plots"
    with (folder / "log.csv").open() as file:
        rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    names = [name for name in rows[0] if name not in ("step", "seconds")]
    figure = Figure(figsize=(4 * len(names), 3), layout="constrained")
    for index, name in enumerate(names):
        axes = figure.add_subplot(1, len(names), index + 1)
        axes.plot([row["step"] for row in rows], [row[name] for row in rows])
        axes.set(title=name, xlabel="step")
    with whole_file(folder / "curve.png") as draft:
        figure.savefig(draft, dpi=120, format="png")
