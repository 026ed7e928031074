"""Gives rivals by folder or hub id: what the models' YAML calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from diffusers.pipelines.wan.pipeline_wan_i2v import WanImageToVideoPipeline

from chronosim.errors import InvalidConfig, InvalidModel
from chronosim.models.engine.acceleration import use_planar_convolutions
from chronosim.models.rivals.editor import Editor
from chronosim.models.rivals.if_edit import IfEdit, IfEditSettings
from chronosim.models.rivals.pipelines import fuse_into_expert, load_pipeline


def load_if_edit(
    location: str | Path = "Wan-AI/Wan2.2-I2V-A14B-Diffusers",
    *,
    loras: Sequence[Mapping[str, Any]] = (),
    device: str | None = None,
    dtype: str | None = None,
    revision: str | None = None,
    offload: bool = False,
    progress: Callable[[int, int], None] | None = None,
    **settings: Any,
) -> IfEdit:
    """Loads an image-to-video model that edits.

    Args:
        location: A folder or hub id of a Wan image-to-video pipeline in diffusers' format.
        loras: Files to fuse, each with `location`, `part` (transformer or transformer_2), `weight`.
        device: As for `load_pipeline`.
        dtype: As for `load_pipeline`.
        revision: As for `load_pipeline`.
        offload: As for `load_pipeline`.
        progress: Called after each denoising step with the steps done and all of the call's.
        **settings: Fields of `IfEditSettings`.

    Raises:
        InvalidConfig: An unknown setting, or one out of its range.
        ModelNotFound: The weights, or one of their files, are missing.
        InvalidModel: They are of another kind than an image-to-video model.
    """
    known = [field.name for field in fields(IfEditSettings)]
    for name in settings:
        if name not in known:
            raise InvalidConfig(f"IF-Edit has no setting {name!r}; it has {', '.join(known)}")
    chosen = IfEditSettings(**settings)
    pipeline, origin = load_pipeline(
        WanImageToVideoPipeline,
        location,
        device=device,
        dtype=dtype,
        revision=revision,
        offload=offload,
    )
    _check(pipeline, location)
    if origin.device is not None and origin.device.type == "cpu":
        use_planar_convolutions(pipeline.vae)
    fused = [fuse_into_expert(pipeline, **lora) for lora in loras]
    return IfEdit(
        pipeline, chosen, name=str(location), origin=origin, loras=fused, progress=progress
    )


def load_editor(
    location: str | Path,
    *,
    settings: Mapping[str, Any] | None = None,
    device: str | None = None,
    dtype: str | None = None,
    revision: str | None = None,
    offload: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Editor:
    """Loads a single-frame editor.

    Args:
        location: A folder or hub id of an instruction-editing pipeline in diffusers' format.
        settings: Arguments of its call, such as `num_inference_steps`.
        device: As for `load_pipeline`.
        dtype: As for `load_pipeline`.
        revision: As for `load_pipeline`.
        offload: As for `load_pipeline`.
        progress: Called after each prompt with the prompts done and all of the call's.

    Raises:
        InvalidConfig: A setting that the pipeline does not have.
        ModelNotFound: The weights, or one of their files, are missing.
        InvalidModel: They are no pipeline that edits.
    """
    pipeline, origin = load_pipeline(
        DiffusionPipeline,
        location,
        device=device,
        dtype=dtype,
        revision=revision,
        offload=offload,
    )
    return Editor(pipeline, settings, name=str(location), origin=origin, progress=progress)


def _check(pipeline: Any, location: str | Path) -> None:
    """Refuses a text-to-video model, which loads alike and fails only in its first layer."""
    if not isinstance(pipeline.vae, AutoencoderKLWan):
        raise InvalidModel(f"{location} has no AutoencoderKLWan, but a {type(pipeline.vae)}")
    vae = pipeline.vae.config
    told = 0 if pipeline.config.expand_timesteps else vae.z_dim + vae.scale_factor_temporal
    for part in ("transformer", "transformer_2"):
        network = getattr(pipeline, part)
        if network is not None and network.config.in_channels != vae.z_dim + told:
            raise InvalidModel(
                f"{location} is no image-to-video model: its {part} reads "
                f"{network.config.in_channels} channels, and a frame to begin with needs "
                f"{vae.z_dim + told}"
            )
