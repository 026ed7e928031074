"""LoRA files: small changes of a transformer's weights, in every spelling that tools write.

Diffusers reads some spellings, ignores others with a warning and drops single keys in silence. Here
every key must lead to a layer of this transformer and have its shape, or the file is refused.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from chronosim.errors import InvalidModel
from chronosim.models.loading.checkpoint import bare_name, layer_names

# What a key says of its layer; PEFT puts an adapter's name before the last word.
_ENDINGS = (
    ("down", re.compile(r"\.(lora_A|lora_down|lora\.down)(\.[^.]+)?\.weight$")),
    ("up", re.compile(r"\.(lora_B|lora_up|lora\.up)(\.[^.]+)?\.weight$")),
    ("alpha", re.compile(r"\.alpha$")),
    ("weight", re.compile(r"\.diff$")),
    ("bias", re.compile(r"\.(diff_b|lora_B(\.[^.]+)?\.bias)$")),
)


@dataclass(frozen=True, slots=True, eq=False)
class LoraFile:
    """A LoRA as read.

    Attributes:
        path: Its file.
        layers: By diffusers' name of a layer: `down` (rank, in) and `up` (out, rank), with `alpha`
            where the file has one; or `weight` and `bias`, whole changes of these.
    """

    path: Path
    layers: Mapping[str, Mapping[str, Tensor]]

    def adapter(self) -> dict[str, Tensor]:
        """Gives it with PEFT's keys, alpha multiplied in.

        Raises:
            InvalidModel: It changes more than PEFT can add to quantised weights.
        """
        weights = {}
        for layer, parts in self.layers.items():
            if not {"down", "up"} <= set(parts) <= {"down", "up", "alpha"}:
                raise InvalidModel(
                    f"{self.path} changes {layer} as a whole, which quantised weights do not allow"
                )
            weights[f"{layer}.lora_A.weight"] = parts["down"]
            weights[f"{layer}.lora_B.weight"] = parts["up"] * _scale(parts)
        return weights


def read_lora(path: Path, transformer: Any) -> LoraFile:
    """Reads a LoRA for a transformer.

    Args:
        path: A .safetensors file with keys in the style of diffusers, PEFT, Wan, DiffSynth,
            ComfyUI or musubi.
        transformer: What it is for; on the meta device it will do.

    Raises:
        InvalidModel: The file cannot be read, names layers that are not there, or was made for
            layers of other shapes.
    """
    names, layers, strange = layer_names(transformer), dict[str, dict[str, Tensor]](), []
    tensors = _tensors(path)
    for key, tensor in tensors.items():
        layer, part = _parse(key, names)
        if layer is None:
            strange.append(key)
        else:
            layers.setdefault(layer, {})[part] = tensor
    if strange or not layers:
        first = repr(strange[0]) if strange else "none at all"
        raise InvalidModel(
            f"{path} is no LoRA for this model: {len(strange)} of its {len(tensors)} keys name no "
            f"layer of the transformer, such as {first}; known are "
            "keys in the style of diffusers, PEFT, Wan, DiffSynth, ComfyUI and musubi"
        )
    for layer, parts in layers.items():
        _check(path, layer, parts, transformer.get_submodule(layer))
    return LoraFile(path, layers)


def add_loras(
    transformer: Any,
    loras: Sequence[tuple[LoraFile, float]],
    device: torch.device,
    *,
    fused: bool,
) -> None:
    """Adds LoRAs to a transformer, in place.

    Args:
        transformer: What they were read for.
        loras: Each with its weight.
        device: Where to compute their changes.
        fused: Whether into the weights themselves, so that they cost nothing later; quantised
            weights get adapters beside them, through PEFT.
    """
    if fused:
        for lora, weight in loras:
            fuse_lora(transformer, lora, weight, device)
    elif loras:
        names = [f"lora_{index}" for index in range(len(loras))]
        for name, (lora, _) in zip(names, loras, strict=True):
            with warnings.catch_warnings():
                # PEFT warns of a second adapter beside the first, which is what is wanted.
                warnings.filterwarnings("ignore", "Already found a `peft_config`", UserWarning)
                transformer.load_lora_adapter(lora.adapter(), prefix=None, adapter_name=name)
        transformer.set_adapters(names, [weight for _, weight in loras])


def fuse_lora(transformer: Any, lora: LoraFile, weight: float, device: torch.device) -> None:
    """Adds a LoRA's change to the weights, in float32 before rounding to theirs.

    Args:
        transformer: Changed in place.
        lora: Read for it.
        weight: What the change is multiplied with.
        device: Where to compute the change.
    """
    for layer, parts in lora.layers.items():
        module = transformer.get_submodule(layer)
        moved = {name: part.to(device, torch.float32) for name, part in parts.items()}
        if "down" in moved:
            change = moved["up"].flatten(1) @ moved["down"].flatten(1) * _scale(moved)
            _add(module.weight, change.view(module.weight.shape), weight)
        for name in ("weight", "bias"):
            if name in moved:
                _add(getattr(module, name), moved[name], weight)


def _add(parameter: Tensor, change: Tensor, weight: float) -> None:
    with torch.no_grad():
        changed = parameter.to(change.device, torch.float32) + weight * change
        parameter.copy_(changed)


def _scale(parts: Mapping[str, Tensor]) -> float:
    """Gives alpha / rank, where the file has an alpha."""
    return float(parts["alpha"]) / parts["down"].shape[0] if "alpha" in parts else 1.0


def _parse(key: str, names: Mapping[str, str]) -> tuple[str | None, str]:
    for part, ending in _ENDINGS:
        found = ending.search(key)
        if found:
            return names.get(bare_name(key[: found.start()])), part
    return None, ""


def _check(path: Path, layer: str, parts: Mapping[str, Tensor], module: Any) -> None:
    if ("down" in parts) != ("up" in parts):
        raise InvalidModel(f"{path} is incomplete: {layer} has only one of its two matrices")
    if not set(parts) & {"down", "weight", "bias"}:
        raise InvalidModel(f"{path} is incomplete: {layer} has an alpha, but no matrices")
    for name, parameter in (("weight", module.weight), ("bias", getattr(module, "bias", None))):
        shapes = set(_shapes(parts, name))
        wanted = None if parameter is None else tuple(parameter.shape)
        for shape in shapes - {wanted, _flat(wanted)}:
            raise InvalidModel(
                f"{path} is a LoRA for another base: its change of the {name} of {layer} has shape "
                f"{shape}, but that is {wanted or 'not there'}"
            )


def _shapes(parts: Mapping[str, Tensor], name: str) -> Iterable[tuple[int, ...]]:
    if name in parts:
        yield tuple(parts[name].shape)
    if name == "weight" and "down" in parts:
        yield parts["up"].shape[0], parts["down"].flatten(1).shape[1]


def _flat(shape: tuple[int, ...] | None) -> tuple[int, ...] | None:
    """A convolution's kernel as the matrix that its LoRA is of."""
    if shape is None or len(shape) < 3:
        return shape
    return shape[0], int(torch.Size(shape[1:]).numel())


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            keys = file.keys()
            return {key: file.get_tensor(key) for key in keys}
    except (OSError, SafetensorError) as error:
        raise InvalidModel(f"{path} cannot be read as safetensors: {error}") from error
