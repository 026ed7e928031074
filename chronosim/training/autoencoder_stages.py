"""Trains an autoencoder in stages: single frames, clips, and what it carries through blanks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from diffusers import AutoencoderKLWan

from chronosim.models.convolution import use_planar_convolutions
from chronosim.training.autoencoder import AutoencoderObjective, new_autoencoder
from chronosim.training.carry import CarryObjective
from chronosim.training.latents import measure_latents
from chronosim.training.trainer import Schedule, train
from chronosim.training.windows import TrainingData

__all__ = ["another", "train_autoencoder"]


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
    teacher: AutoencoderKLWan | None = None,
) -> None:
    """Trains an autoencoder in place; stages that are finished are not trained again.

    Args:
        vae: What is trained.
        data: What it learns from.
        folder: Gets a folder for each stage.
        schedules: Of the stages `stills`, `clips` (left out where there are none) and `carry`.
        batch: Batch sizes by stage.
        blanks: Blank latents that the transformer sees behind a frame at most.
        teacher: The autoencoder that it started from; latents of `data.known` stay where it puts
            them.
    """
    for stage, row in (("stills", 0), ("clips", -1)):
        if stage == "clips" and data.new[-1].time == 1:
            continue
        objective = AutoencoderObjective(
            vae,
            data.new[row:],
            data.held_out[row:],
            batch[stage],
            stills=stage == "stills",
            known=data.known[row:],
            teacher=teacher,
        )
        train(objective, schedules[stage], folder / stage)
    vae.eval()
    if teacher is not None and data.known:  # their latents are to stay what they are
        kept = {name: teacher.config[name] for name in ("latents_mean", "latents_std")}
        vae.register_to_config(**kept)
    else:
        measure_latents(vae, data.new[-1])
    carry = CarryObjective(vae, data.all, data.held_out[-1], blanks, batch["carry"])
    train(carry, schedules["carry"], folder / "carry")
