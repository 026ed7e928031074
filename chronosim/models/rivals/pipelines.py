"""Loads diffusers' pipelines, loudly."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import dynamic_module_utils

from chronosim.errors import InvalidModel, ModelNotFound
from chronosim.models.engine.components import Memo
from chronosim.models.loading.lora import fuse_lora, read_lora
from chronosim.models.loading.places import (
    find_device,
    find_dtype,
    hash_weights,
)
from chronosim.models.loading.quiet import no_bars
from chronosim.models.loading.settings import ModelSettings
from chronosim.models.loading.sources import fetch_folder, fetch_lora


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """Where a pipeline's weights came from, and where they went.

    Attributes:
        folder: The folder they were read from; None if made in memory.
        revision: The commit of the model hub; None if not from there.
        device: Where they compute; None: where they lie.
    """

    folder: Path | None = None
    revision: str | None = None
    device: torch.device | None = None
    hashed: Memo[str] = field(default_factory=lambda: Memo(1), repr=False)


def pipeline_identity(pipeline: Any, name: str, origin: Origin) -> Mapping[str, Any]:
    """Gives what a pipeline is and how it runs, in JSON values."""
    parts = _networks(pipeline)
    main = pipeline.components.get("transformer") or pipeline.components.get("unet")
    return {
        "name": name,
        "pipeline": type(pipeline).__name__,
        "revision": origin.revision,
        "weights": origin.hashed.get(None, lambda: hash_weights(origin.folder, parts)),
        "device": (origin.device or pipeline.device).type,
        "dtype": str(main.dtype if main is not None else pipeline.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in ("torch", "diffusers", "transformers")},
    }


def load_pipeline(
    kind: Any,
    location: str | Path,
    *,
    device: str | None = None,
    dtype: str | None = None,
    revision: str | None = None,
    offload: bool = False,
) -> tuple[Any, Origin]:
    """Loads a pipeline from a local folder or the model hub.

    Args:
        kind: diffusers' class, or `DiffusionPipeline` for the one that the folder names.
        location: A folder in diffusers' format, or a hub id. Pickles are never opened.
        device: Such as "cuda" or "cpu"; None: a GPU if there is one.
        dtype: "float32" or "bfloat16"; None: bfloat16 on a GPU, float32 on a CPU. The autoencoder,
            small and delicate, is always float32.
        revision: A commit, tag or branch of the hub; None: its main branch.
        offload: Whether each part is on the GPU only while it runs: less memory, more time. On a
            CPU it changes nothing.

    Raises:
        ModelNotFound: The folder, or its index, is missing, or the hub does not give it.
        InvalidModel: The files are there but give no such pipeline with all of its weights.
        InvalidConfig: An unknown device or dtype.
    """
    place = find_device(device)
    number = find_dtype(dtype, place)
    folder, commit = fetch_folder(location, ModelSettings(revision=revision), of_chronoedit=False)
    if not (folder / "model_index.json").is_file():
        raise ModelNotFound(f"the model file {folder / 'model_index.json'} is missing")
    # Code that a folder brings along is never run, nor asked about on a terminal.
    dynamic_module_utils.TIME_OUT_REMOTE_CODE = 0
    try:
        with no_bars(), _loudly():
            pipeline = kind.from_pretrained(
                folder,
                dtype={"default": number, "vae": torch.float32},
                use_safetensors=True,
                local_files_only=True,
            )
    except InvalidModel as error:
        raise InvalidModel(f"{folder} {error}") from error
    except Exception as error:  # diffusers passes on whatever a part's loading raises
        reason = str(error).strip().split("\n")[0]
        raise InvalidModel(f"{folder} cannot be loaded as a pipeline: {reason}") from error
    for network in _networks(pipeline).values():
        network.eval()
    if offload and place.type != "cpu":
        pipeline.enable_model_cpu_offload(device=place)
    else:
        pipeline.to(place)
    return pipeline, Origin(folder, commit or revision, place)


def _networks(pipeline: Any) -> dict[str, nn.Module]:
    parts = pipeline.components.items()
    return {name: part for name, part in parts if isinstance(part, nn.Module)}


class _Refuser(logging.Handler):
    """Keeps the libraries' warnings of weights that they had to make up."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.made_up: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a warning of made-up weights."""
        said = record.getMessage()
        if "newly initialized" in said or "MISSING" in said:
            self.made_up.append(" ".join(said.split())[:200])


@contextmanager
def _loudly() -> Iterator[None]:
    """Makes an error of missing weights, for which both libraries only warn and take noise."""
    refuser = _Refuser()
    logs = [logging.getLogger(name) for name in ("diffusers", "transformers")]
    for log in logs:
        log.addHandler(refuser)
    try:
        yield
    finally:
        for log in logs:
            log.removeHandler(refuser)
    if refuser.made_up:
        raise InvalidModel(f"lacks weights that its configs ask for: {refuser.made_up[0]}")


def fuse_into_expert(
    pipeline: Any, part: str, location: str | Path, weight: float = 1.0, strict: bool = True
) -> dict[str, Any]:
    """Fuses a LoRA into an expert's weights, so that it costs nothing while it runs.

    Args:
        pipeline: diffusers' `WanImageToVideoPipeline`.
        part: `transformer` (the high-noise expert) or `transformer_2` (the low-noise one).
        location: A local file, or owner/name/path of the hub.
        weight: How strongly it is fused.
        strict: Whether a key that names no layer is an error; else it is left out.

    Returns:
        What was fused, for the log: location, hash, scale, part and weight.

    Raises:
        ModelNotFound: There is no such file.
        InvalidModel: It is no LoRA for this expert, or the pipeline has no such part.
    """
    expert = getattr(pipeline, part, None)
    if expert is None:
        raise InvalidModel(f"the pipeline has no {part} to fuse {location} into")
    lora = read_lora(fetch_lora(location, ModelSettings()), expert, strict=strict)
    fuse_lora(expert, lora, weight, expert.device)
    return {"location": str(location), **lora.describe(), "part": part, "weight": weight}
