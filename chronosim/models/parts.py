"""Reads a model folder in diffusers' format, loudly.

The published ChronoEdit-14B repository names Wan's classes: loaded as its index says, it gives a
Wan transformer that puts the outcome at the wrong time, without an error. So every part is loaded
as the class that ChronoEdit needs, and what does not belong to one is refused. Pickled weights are
never opened: they can run code.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from diffusers import schedulers
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from diffusers.models.transformers.transformer_chronoedit import ChronoEditTransformer3DModel
from safetensors import SafetensorError
from transformers import AutoTokenizer, CLIPImageProcessorPil, CLIPVisionModel, UMT5EncoderModel

from chronosim.errors import InvalidModel, MissingDependency
from chronosim.models.acceleration import accelerate, describe_acceleration
from chronosim.models.checkpoint import check_checkpoint, empty_transformer, load_checkpoint
from chronosim.models.components import Components, list_files
from chronosim.models.convolution import use_planar_convolutions
from chronosim.models.folder import check_folder, read_json
from chronosim.models.lora import LoraFile, add_loras, read_lora
from chronosim.models.placement import place
from chronosim.models.places import hash_file
from chronosim.models.quiet import no_bars, no_warnings
from chronosim.models.settings import ModelSettings

__all__ = ["read_components"]

_CPU = torch.device("cpu")
_PLAIN = ModelSettings()


def read_components(
    folder: Path,
    *,
    device: torch.device,
    dtype: torch.dtype,
    revision: str | None = None,
    checkpoint: Path | None = None,
    loras: Sequence[tuple[Path, float]] = (),
    settings: ModelSettings = _PLAIN,
) -> Components:
    """Reads every part of a ChronoEdit model; the network is not touched.

    Args:
        folder: A model folder in diffusers' format (model_index.json and safetensors).
        device: Where to compute. On a CPU the autoencoder computes planar convolutions.
        dtype: Of the transformer and the text encoder, float32 or bfloat16; the autoencoder and
            the image encoder, small and delicate, are always float32.
        revision: The hub's commit that the folder came from, for the record.
        checkpoint: A file that the transformer's weights come from instead of the folder's.
        loras: Files with their weights, added in this order.
        settings: Quantisation, storage, offload, tiling, slicing and what makes it faster.

    Raises:
        ModelNotFound: The folder, or a file of it, is missing; the sentence names it.
        InvalidModel: Parts are of another kind, pickled, incomplete, or do not fit together.
    """
    check_folder(folder, whole=checkpoint is None)
    files = list_files(folder)
    changes = _read_changes(folder, checkpoint, loras)
    waits = _CPU if settings.offload else device
    vae = _load_model(AutoencoderKLWan, folder / "vae", torch.float32, waits)
    if device.type == "cpu":
        use_planar_convolutions(vae)
    networks = {
        "text_encoder": _load_model(
            UMT5EncoderModel, folder / "text_encoder", dtype, waits, settings
        ),
        "image_encoder": _load_model(
            CLIPVisionModel, folder / "image_encoder", torch.float32, waits
        ),
        "transformer": _load_transformer(folder, checkpoint, dtype, waits, settings),
        "vae": vae,
    }
    add_loras(networks["transformer"], changes, device, fused=not settings.quantizes_transformer)
    place(networks, settings, device, dtype)
    accelerate(networks["transformer"], settings, device)
    return Components(
        tokenizer=_load(AutoTokenizer.from_pretrained, folder / "tokenizer", local_files_only=True),
        image_processor=_load(
            CLIPImageProcessorPil.from_pretrained, folder / "image_processor", local_files_only=True
        ),
        scheduler=_load_scheduler(folder / "scheduler"),
        folder=folder,
        files=files,
        revision=revision,
        place=device,
        checkpoint=checkpoint,
        variant=_describe(loras, settings),
        **networks,
    )


def _read_changes(
    folder: Path, checkpoint: Path | None, loras: Sequence[tuple[Path, float]]
) -> list[tuple[LoraFile, float]]:
    """Reads the small files and checks them against the config, before the large ones are read."""
    if checkpoint is None and not loras:
        return []
    empty = _load(empty_transformer, folder)
    if checkpoint is not None:
        check_checkpoint(checkpoint, empty)
    return [(read_lora(path, empty), weight) for path, weight in loras]


def _describe(loras: Sequence[tuple[Path, float]], settings: ModelSettings) -> Mapping[str, Any]:
    """What was changed of the weights, and the autoencoder, for a model's identity."""
    added = [{"file": p.name, "hash": hash_file(p), "weight": weight} for p, weight in loras]
    variant: dict[str, Any] = {"loras": added}
    if settings.storage:
        variant["storage"] = settings.storage
    if settings.quantization:
        variant["quantization"] = {
            part: json.loads(config.to_json_string(use_diff=False))
            for part, config in settings.quantization.items()
        }
    if settings.tiling:
        variant["tiling"] = True
    return MappingProxyType({**variant, **describe_acceleration(settings)})


def _load_model(
    kind: Any,
    folder: Path,
    dtype: torch.dtype,
    device: torch.device,
    settings: ModelSettings = _PLAIN,
) -> Any:
    """Loads one network; a weight that is missing or has no place is an error, not a warning."""
    name = "dtype" if kind in (UMT5EncoderModel, CLIPVisionModel) else "torch_dtype"
    quantizer = (settings.quantization or {}).get(folder.name)
    quantized = {"quantization_config": quantizer, "device_map": {"": str(device)}}
    model, report = _load(
        kind.from_pretrained,
        folder,
        local_files_only=True,
        use_safetensors=True,
        output_loading_info=True,
        **{name: dtype},
        **(quantized if quantizer is not None else {}),
    )
    if report["missing_keys"]:
        raise InvalidModel(
            f"{folder} lacks {len(report['missing_keys'])} weights that its config asks for, "
            f"among them {sorted(report['missing_keys'])[0]}"
        )
    # Whole CLIP and UMT5 checkpoints also hold a head or a decoder, which nobody asked for.
    unexpected = set(report["unexpected_keys"]) if name == "torch_dtype" else set()
    if unexpected:
        raise InvalidModel(
            f"{folder} holds {len(unexpected)} weights that its config has no place for, "
            f"among them {sorted(unexpected)[0]}"
        )
    return model.eval() if quantizer is not None else model.to(device).eval()


def _load_transformer(
    folder: Path,
    checkpoint: Path | None,
    dtype: torch.dtype,
    device: torch.device,
    settings: ModelSettings,
) -> Any:
    """Loads it into main memory: LoRAs and 8-bit storage come before it goes to the device."""
    if checkpoint is not None:
        return _load(load_checkpoint, checkpoint, folder=folder, dtype=dtype).eval()
    where = device if settings.quantizes_transformer else _CPU
    return _load_model(ChronoEditTransformer3DModel, folder / "transformer", dtype, where, settings)


def _load_scheduler(folder: Path) -> Any:
    name = read_json(folder / "scheduler_config.json").get("_class_name")
    kind = getattr(schedulers, str(name), None)
    if kind is None:
        raise InvalidModel(f"{folder} names the scheduler {name!r}, which diffusers does not have")
    return _load(kind.from_pretrained, folder, local_files_only=True)


def _load(read: Callable[..., Any], source: Path, /, **settings: Any) -> Any:
    try:
        with no_bars(), no_warnings():  # what is wrong is raised
            return read(source, **settings)
    except ImportError as error:
        reason = " ".join(str(error).split())
        raise MissingDependency(f"{source} cannot be loaded without a package: {reason}") from error
    except (OSError, ValueError, RuntimeError, TypeError, KeyError, SafetensorError) as error:
        reason = str(error).strip().split("\n")[0]
        raise InvalidModel(f"{source} cannot be loaded: {reason}") from error
