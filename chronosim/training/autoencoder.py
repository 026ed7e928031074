"""Trains the autoencoder: on single frames, on clips, and on pictures of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import (
    WanCausalConv3d,
    WanResample,
    unpatchify,
)
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from chronosim.metrics.pixels import psnr, squared_error
from chronosim.models.engine.acceleration import use_all_slices, use_planar_convolutions
from chronosim.training.carry import CarryObjective
from chronosim.training.latents import Clips, measure_latents, to_pixels, to_tensor
from chronosim.training.trainer import Schedule, fast_precision, train
from chronosim.training.windows import TrainingData, Windows

_CERTAIN = -6.0  # log variance that latents begin with
_KINDS = (0.7, 0.2, 0.1)  # of batches with round trips: single frames, still pairs, clips
_FAR = 10  # round trips after which it is evaluated, where it learns them


def new_autoencoder(config: Mapping[str, Any]) -> AutoencoderKLWan:
    """Makes an untrained autoencoder that treats every frame alike.

    All kernel slices that look back in time start at zero, and the time convolutions average (on
    the way in) or repeat (on the way out): what is learned on single frames, which is fast, holds
    unchanged for still clips, and clips only have to add motion. In the encoder those slices stay
    zero, so that it mixes time only within the four frames of one latent: the latents of a clip
    then do not depend on what came before, and blank frames cost nothing to encode twice. Latents
    begin with little noise: under as much as chance gives them, the decoder learns to ignore them.

    Args:
        config: Arguments of `AutoencoderKLWan`.
    """
    vae = AutoencoderKLWan(**config)
    with torch.no_grad():
        for module in vae.modules():
            if isinstance(module, WanCausalConv3d) and module.kernel_size[0] > 1:
                module.weight[:, :, :-1] = 0
        for module in vae.modules():
            if isinstance(module, WanResample) and module.mode == "downsample3d":
                _set_time_slices(module.time_conv, (0.0, 0.5, 0.5))
            elif isinstance(module, WanResample) and module.mode == "upsample3d":
                _set_time_slices(module.time_conv, (0.0, 0.0, 1.0))
        assert vae.quant_conv.bias is not None
        vae.quant_conv.bias[vae.config.z_dim :] = _CERTAIN
    use_planar_convolutions(vae)
    use_all_slices(vae.decoder)
    return vae


def _set_time_slices(convolution: nn.Conv3d, slices: tuple[float, float, float]) -> None:
    channels = convolution.in_channels
    convolution.weight.zero_()
    assert convolution.bias is not None
    convolution.bias.zero_()
    for start in range(0, convolution.out_channels, channels):
        for index, value in enumerate(slices):
            convolution.weight[start : start + channels, :, index, 0, 0] = value * torch.eye(
                channels
            )


@dataclass(slots=True)
class AutoencoderObjective:
    """Squared and absolute error, heavier where there is detail, with a light pull to a Gaussian.

    Attributes:
        vae: What is trained.
        windows: What it learns from.
        held_out: What it is evaluated on.
        batch: Single frames per step (in `stills`), or clips per step.
        stills: Whether to train on single frames; else on clips, and in 3 of 10 batches
            on still pairs.
        kl: Weight of the divergence from a standard Gaussian.
        known: Windows of worlds that `teacher` knows: replayed, and their latents held where it
            puts them, so that a transformer that has learned them need not learn them again.
        teacher: The autoencoder that this one started from.
        hold: Weight of the squared distance from the teacher's latents.
        trips: Where it is above 0, single frames and still pairs go through the autoencoder 0 to
            so many times before the trip that is trained, and are held to the true frame: in a
            rollout each step encodes what the last one decoded, so that it must undo its own
            marks. Most batches are single frames then, some clips, whatever `stills` says.
        encodes: Whether the encoder is trained as well. Without it latents stay what they are, and
            a transformer that has learned them need not learn again.
    """

    vae: AutoencoderKLWan
    windows: Sequence[Windows]
    held_out: Sequence[Windows]
    batch: int = 16
    stills: bool = True
    kl: float = 1e-5
    known: Sequence[Windows] = ()
    teacher: AutoencoderKLWan | None = None
    hold: float = 0.1
    trips: int = 0
    encodes: bool = True

    def __post_init__(self) -> None:
        for part in (self.vae.encoder, self.vae.quant_conv):
            part.requires_grad_(self.encodes)

    @property
    def module(self) -> nn.Module:
        """The autoencoder."""
        return self.vae

    def loss(self, progress: float, rng: np.random.Generator, noise: torch.Generator) -> Tensor:
        """The weighted error of one batch."""
        windows, known = self._choose(rng)
        clips = self._draw(windows, rng)
        seen = self._travelled(clips, rng)
        with fast_precision():
            posterior = self.vae.encode(seen).latent_dist
            latents = posterior.mean.float()
            spread = torch.exp(0.5 * posterior.logvar.float())
            latents = latents + spread * torch.randn(latents.shape, generator=noise)
            decoded = _decode_unclamped(self.vae, latents).float()
        error = decoded - clips
        weighted = _detail(clips) * (error.square() + 0.2 * error.abs())
        if not self.encodes:
            return weighted.mean()
        if known:
            return weighted.mean() + self.hold * self._moved(clips, posterior.mean.float())
        divergence = 0.5 * (posterior.mean.float().square() + spread.square() - 1)
        return weighted.mean() + self.kl * (divergence - spread.log()).mean()

    @torch.no_grad()
    def evaluate(self) -> Mapping[str, float]:
        """PSNR of reconstructed frames in dB, and the deviation of the latents."""
        clips = self._clips(self.held_out[-1], np.arange(0, len(self.held_out[-1]), 8)[:16])
        tensor = to_tensor(clips)
        figures = {"latent_std": float(self.vae.encode(tensor).latent_dist.mode().std())}
        for trip in range(1, self._far + 1):
            with fast_precision():
                tensor = self._trip(tensor)
            if trip in (1, self._far):
                name = "psnr" if trip == 1 else f"psnr_{trip}"
                figures[name] = psnr(squared_error(to_pixels(tensor), clips))
        return figures

    @property
    def _far(self) -> int:
        """Round trips that are evaluated."""
        return _FAR if self.trips else 1

    def _draw(self, windows: Windows, rng: np.random.Generator) -> Clips:
        """Draws a batch; single frames are cheap, so that pairs and clips come in small ones."""
        if not self.trips:
            rows = rng.integers(len(windows), size=self.batch)
            return to_tensor(self._clips(windows, rows, rng))
        rows = rng.integers(len(windows), size=max(1, self.batch // 2))
        kind = rng.choice(["still", "pair", "clip"], p=_KINDS)
        first, trajectory = windows.start[rows], windows.trajectory[rows]
        if kind == "still":
            return to_tensor(np.concatenate([first, trajectory[:, -1]])[:, None])
        if kind == "pair" or windows.time == 1:
            trajectory = np.repeat(trajectory[:, -1:], 4, axis=1)
        whole = trajectory.shape[1] // 4 * 4
        return to_tensor(np.concatenate([first[:, None], trajectory[:, :whole]], axis=1))

    @torch.no_grad()
    def _travelled(self, clips: Clips, rng: np.random.Generator) -> Clips:
        """The clips after some round trips; moving ones stay as they are, as in a rollout."""
        time = clips.shape[2]
        moving = time > 1 and not torch.equal(clips[:, :, 1], clips[:, :, -1])
        if not self.trips or moving:
            return clips
        for _ in range(rng.integers(self.trips + 1)):
            with fast_precision():
                clips = self._trip(clips)
            clips[:, :, 1:] = clips[:, :, -1:].clone()  # the outcome is the last of its four frames
        return clips

    def _trip(self, clips: Clips) -> Clips:
        """Through the autoencoder and back into pixels, as between the steps of a rollout."""
        decoded = self.vae.decode(self.vae.encode(clips).latent_dist.mode()).sample.float()
        return ((decoded.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1

    def _choose(self, rng: np.random.Generator) -> tuple[Windows, bool]:
        """Draws windows, the larger ones more often, and says whether the teacher knows them."""
        every = [*self.windows, *self.known]
        sizes = np.array([len(windows) for windows in every], float)
        index = int(rng.choice(len(every), p=sizes / sizes.sum()))
        return every[index], index >= len(self.windows)

    def _moved(self, clips: Clips, latents: Tensor) -> Tensor:
        assert self.teacher is not None  # it comes with what it knows
        with torch.no_grad():
            theirs = self.teacher.encode(clips).latent_dist.mode().float()
        return (latents - theirs).square().mean()

    def _clips(
        self,
        windows: Windows,
        rows: np.ndarray,
        rng: np.random.Generator | None = None,
    ) -> UInt8[np.ndarray, "b t h w 3"]:
        start, trajectory = windows.start[rows], windows.trajectory[rows]
        if self.stills:
            moment = 0 if rng is None else rng.integers(windows.time, size=len(rows))
            return trajectory[np.arange(len(rows)), moment][:, None]
        if windows.time == 1 or (rng is not None and rng.random() < 0.3):
            trajectory = np.repeat(trajectory[:, -1:], 4, axis=1)  # an outcome, four times
        else:
            trajectory = trajectory[:, : windows.time // 4 * 4]
        return np.concatenate([start[:, None], trajectory], axis=1)


def _decode_unclamped(vae: AutoencoderKLWan, latents: Tensor) -> Clips:
    """Decodes without the last step of `AutoencoderKLWan.decode`, which clamps to [-1, 1].

    Beyond the clamp there is no gradient: once a world with a white background is painted white all
    over, which is soon, nothing would ever appear on it.
    """
    frames: list[Tensor] = []
    hook = vae.decoder.register_forward_hook(lambda *called: frames.append(called[-1]))
    try:
        vae.decode(latents)
    finally:
        hook.remove()
    decoded, patch = torch.cat(frames, dim=2), vae.config.patch_size
    return decoded if patch is None else unpatchify(decoded, patch_size=patch)


def _detail(clips: Clips) -> Float[Tensor, "batch 1 time height width"]:
    """Weights of 1 on flat colour, up to 5 beside edges and small things."""
    planes = clips.transpose(1, 2).flatten(0, 1)
    blurred = F.avg_pool2d(planes, 5, 1, 2, count_include_pad=False)
    strength = (planes - blurred).abs().amax(1, keepdim=True)
    strength = F.max_pool2d(strength, 3, 1, 1).clamp(max=0.5) * 8
    return 1 + torch.unflatten(strength, 0, (len(clips), -1)).transpose(1, 2)


def another(teacher: AutoencoderKLWan) -> AutoencoderKLWan:
    """Makes a copy of an autoencoder that can be trained on."""
    vae = new_autoencoder({k: v for k, v in teacher.config.items() if not k.startswith("_")})
    vae.load_state_dict(teacher.state_dict())
    use_planar_convolutions(vae.encoder)  # the slices that the teacher uses are to be used here
    return vae


def train_autoencoder(
    vae: AutoencoderKLWan,
    data: TrainingData,
    folder: Path,
    *,
    schedules: Mapping[str, Schedule],
    batch: Mapping[str, int],
    blanks: int,
    trips: int = 0,
    encodes: bool = True,
    teacher: AutoencoderKLWan | None = None,
) -> None:
    """Trains an autoencoder in place; stages that are finished are not trained again.

    Args:
        vae: What is trained.
        data: What it learns from.
        folder: Gets a folder for each stage.
        schedules: Of the stages `stills`, `clips` (left out where there are none), `trips` and
            `carry`.
        batch: Batch sizes by stage.
        blanks: Blank latents that the transformer sees behind a frame at most.
        trips: Round trips before the one that is trained at most, in the stage of that name.
        encodes: Whether the encoder is trained in that stage as well.
        teacher: The autoencoder that it started from; latents of `data.known` stay where it puts
            them.
    """
    for stage, least in (("stills", 1), ("clips", 2)):
        new, known, held_out = (
            [windows for windows in some if windows.time >= least]
            for some in (data.new, data.known, data.held_out)
        )
        if not new:
            continue
        objective = AutoencoderObjective(
            vae,
            new,
            held_out,
            batch[stage],
            stills=stage == "stills",
            known=known,
            teacher=teacher,
        )
        train(objective, schedules[stage], folder / stage)
    objective = AutoencoderObjective(
        vae,
        data.new,
        data.held_out,
        batch["trips"],
        known=data.known,
        teacher=teacher,
        trips=trips,
        encodes=encodes,
    )
    train(objective, schedules["trips"], folder / "trips")
    vae.eval().requires_grad_(True)
    learned = [stage for stage in ("stills", "clips", "trips") if schedules[stage].steps]
    moved = bool(learned) and (encodes or learned != ["trips"])
    if teacher is not None and (data.known or not moved):  # latents are to stay what they are
        kept = {name: teacher.config[name] for name in ("latents_mean", "latents_std")}
        vae.register_to_config(**kept)
    else:
        measure_latents(vae, data.new[-1])
    carry = CarryObjective(vae, data.all, data.held_out[-1], blanks, batch["carry"])
    train(carry, schedules["carry"], folder / "carry")
