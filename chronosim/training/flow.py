"""Trains the world: transformer, text encoder and frame encoder together, by flow matching."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from warnings import catch_warnings, filterwarnings

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import T5TokenizerFast

from chronosim.training.latents import LatentWindows, condition_on
from chronosim.training.windows import Windows
from chronosim.training.world import World

__all__ = ["FlowObjective", "TrainingSet"]


_DISTURBED = 0.6  # share of windows whose observed frame is disturbed
_PIXELS = 0.3  # noise on pixels in [-1, 1], for each deviation of noise on latents


@dataclass(frozen=True, slots=True, eq=False)
class TrainingSet:
    """Windows in latents, with what the encoders read.

    Attributes:
        latents: The windows' latents.
        windows: Their frames.
        tokens: Their words, padded with 0; one column more than the longest text.
    """

    latents: LatentWindows
    windows: Windows
    tokens: Int[Tensor, "n tokens"]

    @property
    def change(self) -> float:
        """The mean squared difference between what was observed and what came of it."""
        return float((self.latents.clip[:, :, -1] - self.latents.start).square().mean())

    @property
    def reasons(self) -> bool:
        """Whether there are reasoning tokens in it, not only outcomes."""
        return self.latents.clip.shape[2] > 1

    @classmethod
    def of(
        cls, latents: LatentWindows, windows: Windows, tokenizer: T5TokenizerFast
    ) -> TrainingSet:
        """Reads the words with a tokenizer."""
        ids = tokenizer(list(windows.text), padding=True, return_tensors="pt").input_ids
        return cls(latents, windows, nn.functional.pad(ids, (0, 1)))


@dataclass(slots=True)
class FlowObjective:
    """Flow matching on pairs (observed, outcome) and, for a share of batches, with reasoning.

    Errors are measured by how much changes in a set: a world in which only small things move would
    else be learned last.

    Attributes:
        world: What is trained.
        sets: What it learns from; all give pairs, those with reasoning tokens give both.
        held_out: What it is evaluated on.
        empty: Token ids of the empty text, for guidance.
        batch: Windows per step.
        reasoning: Share of batches with reasoning tokens, from `reasoning_from` on.
        reasoning_from: Share of the training done on pairs alone.
        drop: Share of windows whose words are dropped.
        shift: Flow shift of the noise levels (Esser et al. 2024, section 5.3.2).
        disturb: Largest noise on what is observed, in deviations of a latent: a model that goes on
            from frames of its own must not take their flaws for the world (GameNGen, Valevski et
            al. 2024, section 3.2.1).
    """

    world: World
    sets: Sequence[TrainingSet]
    held_out: TrainingSet
    empty: Int[Tensor, " tokens"]
    batch: int = 32
    reasoning: float = 0.35
    reasoning_from: float = 0.3
    drop: float = 0.08
    shift: float = 3.0
    disturb: float = 0.4
    _weights: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        changes = np.maximum([one.change for one in self.sets], 1e-6)
        sizes = [len(one.windows) for one in self.sets]
        self._weights = np.minimum(np.average(changes, weights=sizes) / changes, 10.0)

    @property
    def module(self) -> nn.Module:
        """The world."""
        return self.world

    def loss(self, progress: float, rng: np.random.Generator, noise: torch.Generator) -> Tensor:
        """The error of the velocity on one batch, at random noise levels."""
        may_think = any(one.reasons for one in self.sets) and progress >= self.reasoning_from
        think = may_think and rng.random() < self.reasoning
        chosen, weight = self._choose(think, rng)
        rows = torch.from_numpy(rng.integers(len(chosen.windows), size=self.batch))
        uniform = torch.rand(self.batch, generator=noise)
        sigma = self.shift * uniform / (1 + (self.shift - 1) * uniform)
        dropped = torch.rand(self.batch, generator=noise) < self.drop
        levels = torch.rand(2, self.batch, generator=noise)
        disturbed = self.disturb * levels[0] * (levels[1] < _DISTURBED)
        loss, _ = self._loss(
            chosen, rows, sigma, noise, think=think, dropped=dropped, disturbed=disturbed
        )
        return weight * loss

    def _choose(self, think: bool, rng: np.random.Generator) -> tuple[TrainingSet, float]:
        """Draws a set, the larger ones more often, and gives the weight of its errors."""
        sizes = [len(one.windows) if one.reasons or not think else 0 for one in self.sets]
        index = int(rng.choice(len(sizes), p=np.array(sizes) / sum(sizes)))
        return self.sets[index], float(self._weights[index])

    @torch.no_grad()
    def evaluate(self) -> Mapping[str, float]:
        """One pass from pure noise, in latents, against copying the observed frame."""
        held = self.held_out
        rows, sigma = torch.arange(len(held.windows)), torch.ones(len(held.windows))
        loss, outcome = self._loss(held, rows, sigma, torch.Generator().manual_seed(0))
        truth = held.latents.clip[:, :, -1]
        copied = (held.latents.start - truth).square().mean()
        swapped = self._loss(
            held, rows, sigma, torch.Generator().manual_seed(0), words=rows.roll(1)
        )[1]
        return {
            "velocity_error": float(loss),
            "error_of_copy": float((outcome - truth).square().mean() / copied),
            "error_of_copy_swapped": float((swapped - truth).square().mean() / copied),
        }

    def _loss(
        self,
        chosen: TrainingSet,
        rows: Int[Tensor, " batch"],
        sigma: Float[Tensor, " batch"],
        noise: torch.Generator,
        *,
        think: bool = False,
        dropped: Tensor | None = None,
        words: Int[Tensor, " batch"] | None = None,
        disturbed: Float[Tensor, " batch"] | None = None,
    ) -> tuple[Tensor, Float[Tensor, "batch channels h w"]]:
        """The loss, and the clean outcome it implies."""
        clip = chosen.latents.clip[rows]
        clip = clip if think else clip[:, :, -1:]
        start, blank, frames = _observe(chosen, rows, clip.shape[2], disturbed, noise)
        clean = torch.cat([start.unsqueeze(2), clip], dim=2)
        drawn = torch.randn(clean.shape, generator=noise)
        level = sigma.view(-1, 1, 1, 1, 1)
        noisy = (1 - level) * clean + level * drawn
        condition = condition_on(start, blank, temporal=4)
        tokens = chosen.tokens[rows if words is None else words]
        if dropped is not None:
            tokens = torch.where(dropped[:, None], self._empty(tokens.shape[1]), tokens)
        with _mixed_precision():
            velocity = self.world(torch.cat([noisy, condition], dim=1), sigma, tokens, frames)
        # The observed slot is known already: a little weight keeps it right without costing others.
        weight = torch.ones(clean.shape[2])
        weight[0], weight[1:-1] = 0.1, 0.5
        error = (velocity - (drawn - clean)).square().mean((0, 1, 3, 4))
        outcome = noisy[:, :, -1] - level[:, :, 0] * velocity[:, :, -1]
        return (error * weight).sum() / weight.sum(), outcome

    def _empty(self, width: int) -> Int[Tensor, "1 tokens"]:
        return nn.functional.pad(self.empty, (0, width - len(self.empty)))[None]


def _observe(
    chosen: TrainingSet,
    rows: Int[Tensor, " batch"],
    slots: int,
    disturbed: Float[Tensor, " batch"] | None,
    noise: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """What is seen: latents of the observed frames and of blank ones behind them; the frames."""
    start, blank = chosen.latents.start[rows], chosen.latents.blank[rows][:, :, :slots]
    pixels = torch.from_numpy(chosen.windows.start[rows.numpy()]).permute(0, 3, 1, 2)
    frames = pixels.float() / 127.5 - 1
    if disturbed is None:
        return start, blank, frames
    level = disturbed.view(-1, 1, 1, 1)
    spoilt = level * torch.randn(start.shape, generator=noise)
    blurred = _PIXELS * level * torch.randn(frames.shape, generator=noise)
    return start + spoilt, blank + spoilt.unsqueeze(2), frames + blurred


@contextmanager
def _mixed_precision() -> Iterator[None]:
    """bfloat16 where it is safe, and attention written out.

    PyTorch's fused attention has so slow a backward on a CPU that a training step would take 1.5
    times as long. Its fused norms are left out too, with a warning that asks nothing of anybody.
    """
    with torch.autocast("cpu", torch.bfloat16), sdpa_kernel(SDPBackend.MATH), catch_warnings():
        filterwarnings("ignore", "Mismatch dtype between input and weight")
        yield
