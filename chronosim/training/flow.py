"""Trains the world: transformer, text encoder and frame encoder together, by flow matching."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from warnings import catch_warnings, filterwarnings

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from chronosim.training.latents import TrainingSet, condition_on
from chronosim.training.pipeline import WorldNetworks
from chronosim.training.pointing import Pointing
from chronosim.training.trainer import fast_precision

_DISTURBED = 0.6  # share of windows whose observed frame is disturbed
_CHANGED = 0.3  # squared change of a latent, in its deviations, from which on its cell has changed
_STRESSED = 0.75  # share of the training in which changed cells weigh more


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
        pure: Share of windows that are noise and nothing else: where things go is decided there.
        disturb: Largest noise on what is observed, in deviations of a latent: a model that goes on
            from frames of its own must not take their flaws for the world (GameNGen, Valevski et
            al. 2024, section 3.2.1).
        stress: How many times as much as others cells weigh that change, and those beside them, in
            the first three quarters of the training.
        point: Weight of `Pointing`, for sets whose words name places.
    """

    world: WorldNetworks
    sets: Sequence[TrainingSet]
    held_out: TrainingSet
    empty: Int[Tensor, " tokens"]
    batch: int = 32
    reasoning: float = 0.35
    reasoning_from: float = 0.3
    drop: float = 0.08
    shift: float = 3.0
    pure: float = 0.2
    disturb: float = 0.4
    stress: float = 5.0
    point: float = 0.4
    _weights: np.ndarray = field(init=False, repr=False)
    _networks: nn.ModuleDict = field(init=False, repr=False)

    def __post_init__(self) -> None:
        changes = np.maximum([one.change for one in self.sets], 1e-6)
        sizes = [len(one.windows) for one in self.sets]
        self._weights = np.minimum(np.average(changes, weights=sizes) / changes, 10.0)
        pointing = Pointing(self.world.transformer)
        self._networks = nn.ModuleDict({"world": self.world, "pointing": pointing})

    @property
    def module(self) -> nn.Module:
        """The world, and what only its training needs."""
        return self._networks

    def loss(self, progress: float, rng: np.random.Generator, noise: torch.Generator) -> Tensor:
        """The error of the velocity on one batch, at random noise levels."""
        may_think = any(one.reasons for one in self.sets) and progress >= self.reasoning_from
        think = may_think and rng.random() < self.reasoning
        chosen, weight = self._choose(think, rng)
        asked = self._ask(chosen, rng, noise)
        pointing: Pointing = self._networks["pointing"]  # type: ignore[assignment]
        with pointing.watch() as seen:
            answer = self._answer(chosen, asked, noise, think=think)
        places = chosen.places[asked.rows].masked_fill(asked.dropped[:, None], torch.nan)
        pointed = pointing.error(seen, places, self._grid(answer))
        stress = self.stress if progress < _STRESSED else 1.0
        return weight * answer.error(stress) + self.point * pointed

    def _choose(self, think: bool, rng: np.random.Generator) -> tuple[TrainingSet, float]:
        """Draws a set, the larger ones more often, and gives the weight of its errors."""
        sizes = [len(one.windows) if one.reasons or not think else 0 for one in self.sets]
        index = int(rng.choice(len(sizes), p=np.array(sizes) / sum(sizes)))
        return self.sets[index], float(self._weights[index])

    def _ask(
        self, chosen: TrainingSet, rng: np.random.Generator, noise: torch.Generator
    ) -> _Questions:
        rows = torch.from_numpy(rng.integers(len(chosen.windows), size=self.batch))
        uniform, pure, dropped, level, share = torch.rand(5, self.batch, generator=noise)
        sigma = self.shift * uniform / (1 + (self.shift - 1) * uniform)
        return _Questions(
            rows=rows,
            words=rows,
            sigma=torch.where(pure < self.pure, 1.0, sigma),
            dropped=dropped < self.drop,
            disturbed=self.disturb * level * (share < _DISTURBED),
        )

    @torch.no_grad()
    def evaluate(self) -> Mapping[str, float]:
        """One pass from pure noise, in latents, against copying the observed frame."""
        held = self.held_out
        rows, none = torch.arange(len(held.windows)), torch.zeros(len(held.windows))
        asked = _Questions(rows, rows, none + 1, none.bool(), none)
        swapped = _Questions(rows, rows.roll(1), none + 1, none.bool(), none)
        answers = [
            self._answer(held, one, torch.Generator().manual_seed(0)) for one in (asked, swapped)
        ]
        truth = held.latents.clip[:, :, -1]
        copied = (held.latents.start - truth).square().mean()
        errors = [float((answer.outcome - truth).square().mean() / copied) for answer in answers]
        return {
            "velocity_error": float(answers[0].error()),
            "error_of_copy": errors[0],
            "error_of_copy_swapped": errors[1],
        }

    def _answer(
        self, chosen: TrainingSet, asked: _Questions, noise: torch.Generator, *, think: bool = False
    ) -> _Answer:
        clip = chosen.latents.clip[asked.rows]
        clip = clip if think else clip[:, :, -1:]
        slots = clip.shape[2]
        start, blank, frames = chosen.observe(asked.rows, slots, asked.disturbed, noise)
        clean = torch.cat([start.unsqueeze(2), clip], dim=2)
        drawn = torch.randn(clean.shape, generator=noise)
        level = asked.sigma.view(-1, 1, 1, 1, 1)
        noisy = (1 - level) * clean + level * drawn
        latents = torch.cat([noisy, condition_on(start, blank, temporal=4)], dim=1)
        tokens = chosen.tokens[asked.words]
        empty = nn.functional.pad(self.empty, (0, tokens.shape[1] - len(self.empty)))
        tokens = torch.where(asked.dropped[:, None], empty, tokens)
        with _mixed_precision():
            velocity = self.world(latents, asked.sigma, tokens, frames)
        seen = chosen.latents.start[asked.rows]
        return _Answer(seen, clean, drawn, noisy - level * velocity, velocity)

    def _grid(self, answer: _Answer) -> tuple[int, int]:
        """Rows and columns of tokens in a latent frame."""
        _, high, wide = self.world.transformer.config.patch_size
        return answer.seen.shape[2] // high, answer.seen.shape[3] // wide


@dataclass(frozen=True, slots=True, eq=False)
class _Questions:
    """What is asked about some windows: which, told whose words, at which noise, seen how well."""

    rows: Int[Tensor, " batch"]
    words: Int[Tensor, " batch"]
    sigma: Float[Tensor, " batch"]
    dropped: Bool[Tensor, " batch"]
    disturbed: Float[Tensor, " batch"]


@dataclass(frozen=True, slots=True, eq=False)
class _Answer:
    """What was wanted (clean latents, the noise on them) and what was said."""

    seen: Float[Tensor, "batch channels h w"]
    clean: Float[Tensor, "batch channels slots h w"]
    noise: Float[Tensor, "batch channels slots h w"]
    implied: Float[Tensor, "batch channels slots h w"]
    velocity: Float[Tensor, "batch channels slots h w"]

    @property
    def outcome(self) -> Float[Tensor, "batch channels h w"]:
        """The clean outcome that the velocity implies."""
        return self.implied[:, :, -1]

    def error(self, stress: float = 1.0) -> Float[Tensor, ""]:
        """Squared error of the velocity; cells that change weigh `stress` times as much."""
        changed = (self.clean - self.seen.unsqueeze(2)).square().mean(1, keepdim=True) > _CHANGED
        beside = nn.functional.max_pool3d(changed.float(), (1, 3, 3), 1, (0, 1, 1))
        weight = 1 + (stress - 1) * beside
        # The observed slot is known already: a little weight keeps it right without costing others.
        weight[:, :, 0] *= 0.1
        weight[:, :, 1:-1] *= 0.5
        error = (self.velocity - (self.noise - self.clean)).square().mean(1, keepdim=True)
        return (error * weight).sum() / weight.sum()


@contextmanager
def _mixed_precision() -> Iterator[None]:
    """The fast number format, and attention written out.

    PyTorch's fused attention has so slow a backward on a CPU that a training step would take 1.5
    times as long. Its fused norms are left out too, with a warning that asks nothing of anybody.
    """
    with fast_precision(), sdpa_kernel(SDPBackend.MATH), catch_warnings():
        filterwarnings("ignore", "Mismatch dtype between input and weight")
        yield
