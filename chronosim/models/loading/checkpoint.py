"""A transformer in one file, safetensors or GGUF, whatever names its weights go by."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import init_empty_weights
from diffusers import GGUFQuantizationConfig
from diffusers.models.model_loading_utils import load_gguf_checkpoint
from diffusers.models.transformers.transformer_chronoedit import ChronoEditTransformer3DModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from chronosim.errors import InvalidModel, MissingDependency

Shape = tuple[int, ...]
Value = TypeVar("Value")


def empty_transformer(folder: Path) -> Any:
    """Builds the transformer that a model folder's config describes, without weights."""
    with init_empty_weights():
        config = ChronoEditTransformer3DModel.load_config(folder / "transformer")
        return ChronoEditTransformer3DModel.from_config(config)


def check_checkpoint(path: Path, transformer: Any) -> None:
    """Checks from a file's header that it holds this transformer, whole and nothing else.

    Args:
        path: A .safetensors or .gguf file.
        transformer: What it shall be loaded as; on the meta device it will do.

    Raises:
        InvalidModel: It cannot be read, lacks weights, holds others, or was made for other shapes.
        MissingDependency: A .gguf without the package gguf.
    """
    shapes = _gguf_shapes(path) if path.suffix == ".gguf" else _shapes(path)
    renamed = _rename(shapes, transformer)
    wanted = {name: tuple(value.shape) for name, value in transformer.named_parameters()}
    strange = sorted(set(renamed) - set(wanted))
    missing = sorted(set(wanted) - set(renamed))
    if strange or missing:
        which = f"it lacks {missing[0]}" if missing else f"it has no place for {strange[0]!r}"
        raise InvalidModel(
            f"{path} does not hold this model's transformer: {which} ({len(missing)} weights "
            f"missing, {len(strange)} of another model or format)"
        )
    for name, shape in renamed.items():
        if shape != wanted[name]:
            raise InvalidModel(
                f"{path} holds another model's transformer: {name} is {shape}, not {wanted[name]}"
            )


def load_checkpoint(path: Path, folder: Path, dtype: torch.dtype) -> Any:
    """Loads a checked file as the transformer whose config a model folder holds."""
    gguf = path.suffix == ".gguf"
    weights = load_gguf_checkpoint(str(path)) if gguf else load_file(path)
    transformer = ChronoEditTransformer3DModel.from_single_file(
        _rename(weights, empty_transformer(folder)),
        config=str(folder),
        subfolder="transformer",
        local_files_only=True,
        torch_dtype=dtype if gguf else None,  # diffusers would round what must stay in float32
        quantization_config=GGUFQuantizationConfig(compute_dtype=dtype) if gguf else None,
    )
    if not gguf:
        _cast(transformer, dtype)
    return transformer


def _cast(transformer: Any, dtype: torch.dtype) -> None:
    """Rounds as loading a folder does: norms, time embedding and modulation stay in float32."""
    delicate = transformer._keep_in_fp32_modules
    for name, parameter in transformer.named_parameters():
        kept = any(part in name.split(".") for part in delicate)
        parameter.data = parameter.data.to(torch.float32 if kept else dtype)


def _rename(values: Mapping[str, Value], transformer: Any) -> dict[str, Value]:
    """Gives values by diffusers' names where theirs are known."""
    names = parameter_names(transformer)
    return {names.get(bare_name(key), key): value for key, value in values.items()}


def _shapes(path: Path) -> dict[str, Shape]:
    try:
        with safe_open(path, framework="pt") as file:
            keys = file.keys()
            return {key: tuple(file.get_slice(key).get_shape()) for key in keys}
    except (OSError, SafetensorError) as error:
        raise InvalidModel(f"{path} cannot be read as safetensors: {error}") from error


def _gguf_shapes(path: Path) -> dict[str, Shape]:
    try:
        from gguf import GGUFReader  # here, so that it is needed for .gguf files only
    except ImportError as error:
        raise MissingDependency(
            "reading .gguf files needs gguf: pip install 'chronosim[quantized]'"
        ) from error
    try:
        tensors = GGUFReader(path).tensors
    except (OSError, ValueError, IndexError) as error:
        raise InvalidModel(f"{path} cannot be read as GGUF: {error}") from error
    return {tensor.name: tuple(int(side) for side in tensor.shape[::-1]) for tensor in tensors}


# Diffusers' name of a part, and Wan's; the inverse of diffusers' own conversion of whole
# checkpoints (convert_wan_transformer_to_diffusers). Applied in this order.
_WAN = (
    ("condition_embedder.image_embedder.norm1", "img_emb.proj.0"),
    ("condition_embedder.image_embedder.ff.net.0.proj", "img_emb.proj.1"),
    ("condition_embedder.image_embedder.ff.net.2", "img_emb.proj.3"),
    ("condition_embedder.image_embedder.norm2", "img_emb.proj.4"),
    ("condition_embedder.time_embedder.linear_1", "time_embedding.0"),
    ("condition_embedder.time_embedder.linear_2", "time_embedding.2"),
    ("condition_embedder.text_embedder.linear_1", "text_embedding.0"),
    ("condition_embedder.text_embedder.linear_2", "text_embedding.2"),
    ("condition_embedder.time_proj", "time_projection.1"),
    ("proj_out", "head.head"),
    (".attn1", ".self_attn"),
    (".attn2", ".cross_attn"),
    (".to_out.0", ".o"),
    (".to_q", ".q"),
    (".to_k", ".k"),
    (".to_v", ".v"),
    (".add_k_proj", ".k_img"),
    (".add_v_proj", ".v_img"),
    (".norm_added_k", ".norm_k_img"),
    (".ffn.net.0.proj", ".ffn.0"),
    (".ffn.net.2", ".ffn.2"),
    (".norm2", ".norm_"),  # Wan counts the block's second and third norm the other way round
    (".norm3", ".norm2"),
    (".norm_.", ".norm3."),
    (".scale_shift_table", ".modulation"),
)
_PREFIXES = (
    "base_model.model.",  # PEFT
    "pipe.dit.",  # DiffSynth
    "model.diffusion_model.",
    "diffusion_model.",  # ComfyUI
    "transformer.",  # a diffusers pipeline
    "lora_unet_",  # musubi, kohya
)


def original_name(name: str) -> str:
    """Gives Wan's own name of a layer or parameter that diffusers calls `name`."""
    if name == "scale_shift_table":
        return "head.modulation"
    name = f"{name}."  # so that a name's end is a part's end
    for ours, theirs in _WAN:
        name = name.replace(ours, theirs)
    return name.removesuffix(".")


def bare_name(key: str) -> str:
    """Strips the prefixes that tools put before a layer's name."""
    for prefix in _PREFIXES:
        key = key.removeprefix(prefix)
    return key


def layer_names(transformer: Any) -> dict[str, str]:
    """Gives diffusers' name of each layer that has weights, by every name it goes by."""
    names: dict[str, str] = {}
    for layer, module in transformer.named_modules():
        if layer and any(True for _ in module.parameters(recurse=False)):
            for name in (layer, original_name(layer)):
                names[name] = names[name.replace(".", "_")] = layer
    return names


def parameter_names(transformer: Any) -> dict[str, str]:
    """Gives diffusers' name of each parameter, by that and by Wan's."""
    names = [name for name, _ in transformer.named_parameters()]
    return {name: name for name in names} | {original_name(name): name for name in names}
