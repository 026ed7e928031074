"""Teaches an encoder to carry the observed frame through the blank ones behind it.

ChronoEdit's transformer is told of the observed frame by the latents of that frame followed by
grey. In a Wan autoencoder the later ones depend on the frame, through the encoder's causal context:
they are a place to keep it. An encoder that treats every latent by itself leaves that place empty,
and a small transformer then spends most of its training on finding, for each token of the outcome,
the token of the observed frame to copy. So here the encoder's last layers, which see a few latents
back, learn to hand the frame on where nothing else is seen, with a mark of where in the frame a
latent lies; all other latents stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field

import numpy as np
import torch
from diffusers import AutoencoderKLWan
from jaxtyping import Float
from torch import Tensor, nn

from chronosim.models.engine.acceleration import use_all_slices
from chronosim.training.latents import (
    LATENT_FRAMES,
    EncoderTail,
    blank_features,
    features,
    normalize,
    to_tensor,
)
from chronosim.training.trainer import fast_precision
from chronosim.training.windows import Windows


def place(channels: int, rows: int, columns: int) -> Float[Tensor, "channels 1 {rows} {columns}"]:
    """The mark of where in a frame a latent lies: cosines of 1, 2, 3 ... half waves on each axis.

    A bump anywhere is a sum of such waves, so a place that words name is found by one product.

    Args:
        channels: Of a latent, an even number; half of them for each axis.
        rows: Of latents in a frame.
        columns: Of latents in a frame.
    """
    waves = torch.pi * torch.arange(1, channels // 2 + 1)[:, None]
    down, across = (1.2 * torch.cos(waves * (torch.arange(n) + 0.5) / n) for n in (rows, columns))
    marks = [down[:, :, None].expand(-1, -1, columns), across[:, None].expand(-1, rows, -1)]
    return torch.cat(marks)[:, None]


@dataclass(slots=True)
class CarryObjective:
    """The blank latents behind a frame become its latent and their place; all others stay.

    Attributes:
        vae: Its encoder's last layers are trained, in normalised latents.
        windows: Where frames and clips are drawn from, equally from each.
        held_out: What it is evaluated on.
        blanks: Blank latents behind a frame, as many as the transformer knows.
        batch: Frames, and clips, of each of `windows` per step.
    """

    vae: AutoencoderKLWan
    windows: Sequence[Windows]
    held_out: Windows
    blanks: int
    batch: int = 6
    _tail: EncoderTail = field(init=False, repr=False)
    _before: EncoderTail = field(init=False, repr=False)
    _blank: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._tail = EncoderTail(self.vae)
        self._before = deepcopy(self._tail).requires_grad_(False)
        use_all_slices(self._tail)
        self._blank = blank_features(self.vae, self.windows[0].start.shape[1:], self.blanks)

    @property
    def module(self) -> nn.Module:
        """The encoder's last layers."""
        return self._tail

    def loss(self, progress: float, rng: np.random.Generator, noise: torch.Generator) -> Tensor:
        """The squared errors of what is carried and of what must not move."""
        drawn = [self._draw(one, rng.integers(len(one), size=self.batch)) for one in self.windows]
        errors = [torch.stack(self._errors(found)) for found in drawn]
        return torch.stack(errors).sum(1).mean()

    @torch.no_grad()
    def evaluate(self) -> Mapping[str, float]:
        """Squared errors of what is carried, and of what must not move; a deviation is 1."""
        rows = np.linspace(0, len(self.held_out) - 1, min(64, len(self.held_out))).astype(int)
        carried, moved = self._errors(self._draw(self.held_out, rows))
        return {"carried": float(carried), "moved": float(moved)}

    def _draw(self, windows: Windows, rows: np.ndarray) -> Tensor:
        """Features of frames with as much of what followed as fills latents."""
        whole = windows.time // LATENT_FRAMES * LATENT_FRAMES
        clips = np.concatenate([windows.start[rows][:, None], windows.trajectory[rows, :whole]], 1)
        with fast_precision():
            return features(self.vae, to_tensor(clips))

    def _errors(self, found: Tensor) -> tuple[Tensor, Tensor]:
        blank = self._blank.expand(len(found), -1, -1, -1, -1)
        with fast_precision():
            with torch.no_grad():
                before = normalize(self.vae, self._before(found))
            after = normalize(self.vae, self._tail(found))
            carried = normalize(self.vae, self._tail(torch.cat([found[:, :, :1], blank], dim=2)))[
                :, :, 1:
            ]
        first = before[:, :, :1]
        aim = first + place(first.shape[1], *first.shape[3:])
        return (carried - aim).square().mean(), (after - before).square().mean()
