"""A transformer in one file: safetensors in diffusers' or Wan's names, or GGUF."""

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
from chronosim.models.naming import bare_name, parameter_names

__all__ = ["check_checkpoint", "empty_transformer", "load_checkpoint"]

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
