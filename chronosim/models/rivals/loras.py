"""Fuses a LoRA into one expert of a Wan pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chronosim.errors import InvalidModel
from chronosim.models.lora import fuse_lora, read_lora
from chronosim.models.places import hash_file
from chronosim.models.settings import ModelSettings
from chronosim.models.sources import fetch_file

__all__ = ["fuse_into_expert"]


def fuse_into_expert(
    pipeline: Any, part: str, location: str | Path, weight: float = 1.0
) -> dict[str, Any]:
    """Fuses a LoRA into an expert's weights, so that it costs nothing while it runs.

    Args:
        pipeline: diffusers' `WanImageToVideoPipeline`.
        part: `transformer` (the high-noise expert) or `transformer_2` (the low-noise one).
        location: A local file, or owner/name/path of the hub.
        weight: How strongly it is fused.

    Returns:
        What was fused, for the log: location, hash, part and weight.

    Raises:
        ModelNotFound: There is no such file.
        InvalidModel: It is no LoRA for this expert, or the pipeline has no such part.
    """
    expert = getattr(pipeline, part, None)
    if expert is None:
        raise InvalidModel(f"the pipeline has no {part} to fuse {location} into")
    path = fetch_file(location, ModelSettings())
    fuse_lora(expert, read_lora(path, expert), weight, expert.device)
    return {"location": str(location), "hash": hash_file(path), "part": part, "weight": weight}
