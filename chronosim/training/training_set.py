"""What a world is learned from: windows in latents, and their words as tokens."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import T5TokenizerFast

from chronosim.training.latents import LatentWindows
from chronosim.training.pointing import named_places
from chronosim.training.windows import Windows

__all__ = ["TrainingSet"]

_PIXELS = 0.3  # noise on pixels in [-1, 1], for each deviation of noise on latents


@dataclass(frozen=True, eq=False)
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

    @cached_property
    def places(self) -> Float[Tensor, "n 2"]:
        """The places that the words name, as `named_places` gives them."""
        return named_places(self.windows.text)

    @classmethod
    def of(
        cls, latents: LatentWindows, windows: Windows, tokenizer: T5TokenizerFast
    ) -> TrainingSet:
        """Reads the words with a tokenizer."""
        ids = tokenizer(list(windows.text), padding=True, return_tensors="pt").input_ids
        return cls(latents, windows, nn.functional.pad(ids, (0, 1)))

    def observe(
        self,
        rows: Int[Tensor, " batch"],
        slots: int,
        disturbed: Float[Tensor, " batch"],
        noise: torch.Generator,
    ) -> tuple[
        Float[Tensor, "batch channels h w"],
        Float[Tensor, "batch channels {slots} h w"],
        Float[Tensor, "batch 3 height width"],
    ]:
        """What is seen of some windows.

        Args:
            rows: Which windows.
            slots: Latent frames behind the observed one.
            disturbed: Noise on what is observed, in deviations of a latent.
            noise: Where it is drawn from.

        Returns:
            Latents of the observed frames, of the blank ones behind them, and the frames in
            [-1, 1].
        """
        start, blank = self.latents.start[rows], self.latents.blank[rows][:, :, :slots]
        pixels = torch.from_numpy(self.windows.start[rows.numpy()]).permute(0, 3, 1, 2)
        frames = pixels.float() / 127.5 - 1
        level = disturbed.view(-1, 1, 1, 1)
        spoilt = level * torch.randn(start.shape, generator=noise)
        blurred = _PIXELS * level * torch.randn(frames.shape, generator=noise)
        return start + spoilt, blank + spoilt.unsqueeze(2), frames + blurred
