"""Training windows as latents, encoded once, and their words as tokens."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import WanResample, patchify
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from transformers import T5TokenizerFast

from chronosim.progress import watch
from chronosim.training.pointing import named_places
from chronosim.training.trainer import fast_precision
from chronosim.training.windows import Windows

LATENT_FRAMES = 4
"""Frames in one latent."""

Clips = Float[Tensor, "batch 3 time height width"]

_BATCH = 32
_Planes = Float[Tensor, "n channels h w"]


def to_tensor(frames: UInt8[np.ndarray, "batch time height width 3"]) -> Clips:
    """uint8 clips to floats in [-1, 1], channels before time."""
    return torch.from_numpy(frames).permute(0, 4, 1, 2, 3).float() / 127.5 - 1


def to_pixels(clips: Clips) -> UInt8[np.ndarray, "batch time height width 3"]:
    """Floats in [-1, 1] back to uint8."""
    pixels = ((clips.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return pixels.permute(0, 2, 3, 4, 1).numpy()


@dataclass(frozen=True, slots=True, eq=False)
class LatentWindows:
    """Windows in normalised latents.

    Attributes:
        start: Of the observed frames, float32 (n, channels, h, w).
        clip: Of what follows: float32 (n, channels, slots, h, w); the reasoning tokens first (none
            if the trajectories have no frames in between), the outcome last.
        blank: Of as many blank slots behind the observed frames, bfloat16 (n, channels, slots, h,
            w): what the encoder carries into them (`CarryObjective`).
        text: The words, n of them.
    """

    start: _Planes
    clip: Float[Tensor, "n channels slots h w"]
    blank: Float[Tensor, "n channels slots h w"]
    text: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.start)


def condition_on(
    start: _Planes, blank: Float[Tensor, "n channels slots h w"], temporal: int
) -> Float[Tensor, "n condition slots+1 h w"]:
    """Puts the condition together as ChronoEdit wants it: a mask of the known frame, then latents.

    Source: prepare_latents in diffusers' pipeline_chronoedit.py.

    Args:
        start: Latents of the observed frames.
        blank: Latents of the blank frames behind them.
        temporal: Frames per latent (the mask's channels).
    """
    latents = torch.cat([start.unsqueeze(2), blank], dim=2)
    mask = torch.zeros(len(start), temporal, *latents.shape[2:])
    mask[:, :, 0] = 1
    return torch.cat([mask, latents], dim=1)


def normalize(
    vae: AutoencoderKLWan, latents: Float[Tensor, "n channels slots h w"]
) -> Float[Tensor, "n channels slots h w"]:
    """Brings latents to zero mean and unit deviation by the autoencoder's own config."""
    mean = torch.tensor(vae.config.latents_mean).view(1, -1, 1, 1, 1)
    std = torch.tensor(vae.config.latents_std).view(1, -1, 1, 1, 1)
    return (latents - mean) / std


@torch.no_grad()
def features(vae: AutoencoderKLWan, clips: Float[Tensor, "batch 3 time height width"]) -> Tensor:
    """What an encoder makes of clips before its middle, where each latent is still by itself."""
    found: list[Tensor] = []
    hook = vae.encoder.mid_block.register_forward_pre_hook(
        lambda _, called: found.append(called[0].float())
    )
    try:
        vae.encode(clips)
    finally:
        hook.remove()
    return torch.cat(found, dim=2)


class EncoderTail(nn.Module):
    """The layers of an encoder that look back over latents: the middle and all behind it.

    Args:
        vae: Whose layers they are; they are shared with it, not copied.
    """

    def __init__(self, vae: AutoencoderKLWan) -> None:
        super().__init__()
        encoder = vae.encoder
        self.middle, self.norm, self.head = encoder.mid_block, encoder.norm_out, encoder.conv_out
        self.quantize = vae.quant_conv

    def forward(
        self, found: Float[Tensor, "batch features latents h w"]
    ) -> Float[Tensor, "batch channels latents h w"]:
        """Gives the means of the latents, as `AutoencoderKLWan.encode` would."""
        planes = self.head(F.silu(self.norm(self.middle(found))))
        means: Tensor = self.quantize(planes).chunk(2, dim=1)[0].float()
        return means


def blank_features(
    vae: AutoencoderKLWan, size: tuple[int, ...], latents: int
) -> Float[Tensor, "1 features {latents} h w"]:
    """The features of blank latents behind a frame, whatever the frame.

    Args:
        vae: The autoencoder.
        size: Height and width of a frame; more behind them does not count.
        latents: How many.
    """
    clip = torch.zeros(1, 3, 1 + LATENT_FRAMES * latents, *size[:2])
    with fast_precision():
        return features(vae, clip)[:, :, 1:]


@torch.no_grad()
def measure_latents(vae: AutoencoderKLWan, windows: Windows, count: int = 512) -> None:
    """Writes the mean and deviation of each latent channel into the autoencoder's config."""
    rows = np.linspace(0, len(windows) - 1, count).astype(int)
    latents = torch.cat(
        [
            vae.encode(to_tensor(windows.start[part][:, None])).latent_dist.mode()
            for part in np.array_split(rows, max(1, count // _BATCH))
        ]
    )
    vae.register_to_config(
        latents_mean=latents.mean((0, 2, 3, 4)).tolist(),
        latents_std=latents.std((0, 2, 3, 4)).tolist(),
    )


@torch.no_grad()
def encode_windows(vae: AutoencoderKLWan, windows: Windows) -> LatentWindows:
    """Encodes windows as ChronoEdit is trained: the clip, and the outcome by itself, four times.

    Source: research repository, training on videos: all but the last frame as one clip, the last
    frame encoded with its own repeats.
    """
    slots = windows.time // 4 + 1
    behind = blank_features(vae, windows.start.shape[1:], slots)
    starts, clips, blanks = [], [], []
    parts = np.array_split(np.arange(len(windows)), max(1, len(windows) // _BATCH))
    for rows in watch(parts, "encoding", len(parts)):
        start, trajectory = windows.start[rows][:, None], windows.trajectory[rows]
        seen = _encode_seen(vae, start, behind)
        starts.append(seen[:, :, 0])
        blanks.append(seen[:, :, 1:].bfloat16())
        outcome = _encode_still(vae, trajectory[:, -1:])
        if windows.time > 1:
            way = _encode(vae, np.concatenate([start, trajectory[:, :-1]], axis=1))[:, :, 1:]
            outcome = torch.cat([way, outcome], dim=2)
        clips.append(outcome)
    return LatentWindows(torch.cat(starts), torch.cat(clips), torch.cat(blanks), windows.text)


def _encode(vae: AutoencoderKLWan, clips: np.ndarray) -> Float[Tensor, "n channels slots h w"]:
    # bfloat16 halves the time; its rounding is far below what the autoencoder itself loses.
    with fast_precision():
        latents = vae.encode(to_tensor(clips)).latent_dist.mode()
    return normalize(vae, latents.float())


def _encode_still(
    vae: AutoencoderKLWan, frames: UInt8[np.ndarray, "n 1 height width 3"]
) -> Float[Tensor, "n channels 1 h w"]:
    """The latent of a frame shown four times, at the cost of one.

    The autoencoders that this package trains mix time only where they halve it, and there never
    look beyond the four frames of a latent (`new_autoencoder`): equal frames stay equal.
    """
    encoder = vae.encoder
    with fast_precision():
        pixels = to_tensor(frames)
        if vae.config.patch_size is not None:
            pixels = patchify(pixels, vae.config.patch_size)
        planes = encoder.conv_in(pixels)
        for block in encoder.down_blocks:
            if isinstance(block, WanResample) and block.mode == "downsample3d":
                planes = block.resample(planes[:, :, 0])[:, :, None]
                convolution = block.time_conv
                kernel = convolution.weight[:, :, 1:, 0].sum(2)[..., None]
                planes = F.conv2d(planes[:, :, 0], kernel, convolution.bias)[:, :, None]
            else:
                planes = block(planes)
        planes = encoder.conv_out(encoder.nonlinearity(encoder.norm_out(encoder.mid_block(planes))))
        latents = vae.quant_conv(planes).chunk(2, dim=1)[0]
    return normalize(vae, latents.float())


def _encode_seen(
    vae: AutoencoderKLWan, frames: UInt8[np.ndarray, "n 1 height width 3"], behind: Tensor
) -> Float[Tensor, "n channels slots h w"]:
    """The latents of observed frames, and of the blank ones behind them."""
    with fast_precision():
        found = features(vae, to_tensor(frames))
        found = torch.cat([found, behind.expand(len(found), -1, -1, -1, -1)], dim=2)
        latents = EncoderTail(vae)(found)
    return normalize(vae, latents)


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
