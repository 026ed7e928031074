"""A transformer in one file, safetensors or GGUF, whatever names its weights go by."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers import GGUFQuantizationConfig
from diffusers.models.model_loading_utils import load_gguf_checkpoint
from diffusers.models.transformers.transformer_chronoedit import ChronoEditTransformer3DModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from chronosim.errors import ChronosimWarning, InvalidModel, MissingDependency
from chronosim.models.loading.sources import read_json

Shape = tuple[int, ...]


def empty_transformer(folder: Path) -> Any:
    """Builds the transformer that a model folder's config describes, without weights."""
    with init_empty_weights():
        config = ChronoEditTransformer3DModel.load_config(folder / "transformer")
        return ChronoEditTransformer3DModel.from_config(config)


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A transformer in one file, found to be whole from its header alone.

    Attributes:
        path: A .safetensors or .gguf file.
        names: Diffusers' names of its weights, by its own.
        scales: The keys of the numbers that weights of 8 bits are multiplied with, by the weights'.
        left_out: Keys that the transformer has no place for.
    """

    path: Path
    names: Mapping[str, str]
    scales: Mapping[str, str]
    left_out: Sequence[str] = ()


def read_checkpoint(path: Path, transformer: Any, *, strict: bool = True) -> Checkpoint:
    """Checks from a file's header that it holds this transformer, whole, in numbers it can read.

    Args:
        path: A .safetensors or .gguf file. Weights of 8-bit floating point may have a scale, as
            ComfyUI's `scale_weight`, `weight_scale` and `comfy_quant` give it.
        transformer: What it shall be loaded as; on the meta device it will do.
        strict: Whether a weight that has no place is an error; else it is left out, with a warning.

    Raises:
        InvalidModel: It cannot be read, lacks weights, holds others, was made for other shapes, or
            its numbers are of a kind that is not known.
        MissingDependency: A .gguf without the package gguf.
    """
    header = _read_gguf(path) if path.suffix == ".gguf" else _read_safetensors(path)
    names = parameter_names(transformer)
    renamed = {names.get(bare_name(key), key): key for key in header.weights}
    wanted = {name: tuple(value.shape) for name, value in transformer.named_parameters()}
    strange, missing = sorted(set(renamed) - set(wanted)), sorted(set(wanted) - set(renamed))
    if missing or (strict and strange):
        which = f"it lacks {missing[0]}" if missing else f"it has no place for {strange[0]!r}"
        way = "" if missing else "; strict=false leaves these out"
        raise InvalidModel(
            f"{path} does not hold this model's transformer: {which} ({len(missing)} weights "
            f"missing, {len(strange)} of another model or format){way}"
        )
    for name, shape in wanted.items():
        key = renamed[name]
        if header.shapes[key] != shape:
            raise InvalidModel(
                f"{path} holds another model's transformer: {name} is {header.shapes[key]}, "
                f"not {shape}"
            )
        _check_numbers(path, header, key)
    kept = {renamed[name]: name for name in wanted}
    left_out = [renamed[name] for name in strange]
    warn_left_out(path, left_out)
    return Checkpoint(path, kept, header.scales, left_out)


def warn_left_out(path: Path, keys: Sequence[str]) -> None:
    """Says once what of a file is left out."""
    if keys:
        said = f"left out {len(keys)} weights of {path} that the model has no place for"
        warnings.warn(f"{said}, such as {keys[0]!r}", ChronosimWarning, stacklevel=3)


def check_part(folder: Path) -> None:
    """Refuses a part of a model folder whose numbers a library would take for others, unsaid.

    Raises:
        InvalidModel: It holds whole numbers, or weights of 8 bits with scales, and its config names
            no quantiser; or a header cannot be read.
    """
    if "quantization_config" in read_json(folder / "config.json"):
        return
    for path in sorted(folder.glob("*.safetensors")):
        header = _read_safetensors(path)
        for key in header.weights:
            if not key.endswith("position_ids"):  # of older CLIPs: no weight
                _check_numbers(path, header, key)
        if header.scales:
            raise InvalidModel(
                f"{path} has scales beside its weights of 8 bits, which a folder's part cannot "
                "have: name a transformer's file as transformer=, or take unscaled weights"
            )


def load_checkpoint(checkpoint: Checkpoint, folder: Path, dtype: torch.dtype) -> Any:
    """Loads a checked file as the transformer whose config a model folder holds."""
    gguf = checkpoint.path.suffix == ".gguf"
    path, empty = checkpoint.path, empty_transformer(folder)
    weights = _dequantize(load_gguf_checkpoint(str(path)), checkpoint, empty) if gguf else {}
    transformer = ChronoEditTransformer3DModel.from_single_file(
        weights or _scale(load_file(path), checkpoint, dtype),
        config=str(folder),
        subfolder="transformer",
        local_files_only=True,
        torch_dtype=dtype if gguf else None,  # diffusers would round what must stay in float32
        quantization_config=GGUFQuantizationConfig(compute_dtype=dtype) if gguf else None,
    )
    if not gguf:
        for name, parameter in transformer.named_parameters():
            parameter.data = parameter.data.to(_format(name, dtype))
    return transformer


def _format(name: str, dtype: torch.dtype) -> torch.dtype:
    """As loading a folder has it: norms, time embedding and modulation stay in float32."""
    delicate = ChronoEditTransformer3DModel._keep_in_fp32_modules
    return torch.float32 if set(delicate) & set(name.split(".")) else dtype


def _scale(
    weights: dict[str, Tensor], checkpoint: Checkpoint, dtype: torch.dtype
) -> dict[str, Tensor]:
    """Gives weights by diffusers' names, those of 8 bits multiplied with their scales."""
    named = {}
    for key, name in checkpoint.names.items():
        weight = weights.pop(key)
        if key in checkpoint.scales:
            scale = weights[checkpoint.scales[key]].float()
            if not scale.isfinite().all():
                raise InvalidModel(f"{checkpoint.path} has NaN at {checkpoint.scales[key]}")
            if weight.dtype == torch.uint8:  # a container that some tools write 8-bit floats into
                weight = weight.view(torch.float8_e4m3fn)
            rows = scale if scale.numel() == 1 else scale.flatten()
            weight = weight.float() * rows.reshape(-1, *[1] * (weight.ndim - 1))
            weight = weight.to(_format(name, dtype))
        named[name] = weight
    return named


def _dequantize(weights: Mapping[str, Any], checkpoint: Checkpoint, transformer: Any) -> Any:
    """Gives weights by diffusers' names; only matrices of linear layers can stay quantised."""
    from diffusers.quantizers.gguf.utils import dequantize_gguf_tensor  # needs gguf

    named = {}
    for key, name in checkpoint.names.items():
        layer, _, what = name.rpartition(".")
        linear = what == "weight" and isinstance(transformer.get_submodule(layer), nn.Linear)
        named[name] = weights[key] if linear else dequantize_gguf_tensor(weights[key])
    return named


@dataclass(frozen=True, slots=True)
class _Header:
    """What a file's header says.

    Attributes:
        weights: The keys of its weights.
        shapes: Of all that it holds, by key.
        numbers: Of what kind these are.
        known: Of which kinds they may be.
        scales: The keys of scales, by the keys of what they belong to.
        formats: What `comfy_quant` says of layers, by their names in the file.
    """

    weights: Sequence[str]
    shapes: Mapping[str, Shape]
    numbers: Mapping[str, str]
    known: Sequence[str]
    scales: Mapping[str, str] = field(default_factory=dict)
    formats: Mapping[str, Any] = field(default_factory=dict)


_REAL = ("F64", "F32", "F16", "BF16")
_EIGHT = ("F8_E4M3", "F8_E5M2")
_SCALES = (".scale_weight", ".weight_scale")
# Of activations, for products in 8 bits, which are not computed here; and marks.
_UNUSED = (".scale_input", ".input_scale", ".comfy_quant")
_KNOWN = {  # formats of comfy_quant that a weight and one scale, or one for each row, say in full
    "float8_e4m3fn": ("F8_E4M3", "U8"),
    "float8_e5m2": ("F8_E5M2",),
    "int8_tensorwise": ("I8",),
}


def _check_numbers(path: Path, header: _Header, key: str) -> None:
    """Refuses numbers that stand for others in a way that is not known."""
    kind, scale = header.numbers[key], header.scales.get(key)
    told = header.formats.get(bare_name(key).removesuffix(".weight"))
    if told is not None:
        name = told.get("format") if isinstance(told, dict) else told
        rotated = isinstance(told, dict) and told.get("convrot")
        if rotated or scale is None or kind not in _KNOWN.get(str(name), ()):
            raise InvalidModel(
                f"{path} holds {key} as {kind} in the format {name!r}"
                f"{', rotated' if rotated else ''}: known are {', '.join(_KNOWN)} with a scale"
            )
    elif kind in _EIGHT and header.scales and scale is None:
        raise InvalidModel(f"{path} has scales for its weights of 8 bits, but none for {key}")
    elif kind not in header.known:
        raise InvalidModel(
            f"{path} holds {kind} at {key}, and nothing says what such numbers stand for; known "
            f"are {', '.join(header.known)}"
        )
    if scale is not None and math.prod(header.shapes[scale]) not in (1, header.shapes[key][0]):
        raise InvalidModel(
            f"{path} scales {key} {header.shapes[key]} by blocks, {header.shapes[scale]}: known "
            "are one scale for all of a weight, or one for each row"
        )


def _read_safetensors(path: Path) -> _Header:
    try:
        with safe_open(path, framework="pt") as file:
            slices = {key: file.get_slice(key) for key in [*file.keys()]}
            shapes = {key: tuple(part.get_shape()) for key, part in slices.items()}
            numbers = {key: part.get_dtype() for key, part in slices.items()}
            marks = {key[:-12]: file.get_tensor(key) for key in shapes if key[-12:] == _UNUSED[2]}
            metadata = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise InvalidModel(f"{path} cannot be read as safetensors: {error}") from error
    try:
        formats = dict(json.loads(metadata.get("_quantization_metadata", "{}")).get("layers", {}))
        formats |= {layer: json.loads(bytes(mark.tolist())) for layer, mark in marks.items()}
        formats = {bare_name(layer): told for layer, told in formats.items()}
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidModel(f"{path} does not say how it is quantised: {error}") from error
    layers = {key.removesuffix(".weight") for key in shapes if key.endswith(".weight")}
    scales = {
        f"{layer}.weight": f"{layer}{end}"
        for layer in layers
        for end in _SCALES
        if f"{layer}{end}" in shapes
    }
    beside = {*scales.values(), *(f"{layer}{end}" for layer in layers for end in _UNUSED)}
    weights = [key for key in shapes if key not in beside and bare_name(key) != "scaled_fp8"]
    return _Header(weights, shapes, numbers, (*_REAL, *_EIGHT), scales, formats)


def _read_gguf(path: Path) -> _Header:
    try:
        # Here, so that gguf is needed for .gguf files only.
        from diffusers.quantizers.gguf.utils import SUPPORTED_GGUF_QUANT_TYPES
        from gguf import GGUFReader
    except ImportError as error:
        raise MissingDependency(
            "reading .gguf files needs gguf: pip install 'chronosim[quantized]'"
        ) from error
    try:
        tensors = GGUFReader(path).tensors
    except (OSError, ValueError, IndexError) as error:
        raise InvalidModel(f"{path} cannot be read as GGUF: {error}") from error
    shapes = {one.name: tuple(int(side) for side in one.shape[::-1]) for one in tensors}
    numbers = {one.name: one.tensor_type.name for one in tensors}
    known = ("F32", "F16", *(kind.name for kind in SUPPORTED_GGUF_QUANT_TYPES))
    return _Header([*shapes], shapes, numbers, known)


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
