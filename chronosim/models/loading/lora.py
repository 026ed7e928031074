"""LoRA files: small changes of a transformer's weights, in every spelling that tools write.

Diffusers reads some spellings, ignores others with a warning and drops single keys in silence. Here
every key must lead to a layer of this transformer and have its shape, or the file is refused.
"""

from __future__ import annotations

import math
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
from chronosim.models.loading.checkpoint import layer_names, warn_left_out
from chronosim.models.loading.lora_scale import Scales, parse_key, read_scales
from chronosim.models.loading.places import hash_file

# What makes a file another kind of change than a LoRA, by its keys; none of them can be left out.
_KINDS = (
    ("a DoRA of other layers", re.compile(r"dora_scale|lora_magnitude_vector")),
    ("a LoKr", re.compile(r"\.lokr_")),
    ("a LoHa", re.compile(r"\.hada_|\.loha_")),
    ("an OFT or BOFT", re.compile(r"\.b?oft_|\.oft_blocks")),
    ("a LoCon in Tucker form", re.compile(r"\.lora_mid\.")),
)


@dataclass(frozen=True, slots=True, eq=False)
class LoraFile:
    """A LoRA as read.

    Attributes:
        path: Its file.
        layers: By diffusers' name of a layer: `down` (rank, in) and `up` (out, rank), of a DoRA
            with `magnitude`, (out, 1) or (1, in); or `weight` and `bias`, whole changes of these.
        scales: What up @ down is multiplied with, by the same names.
        strength: The same as the file has it, with the place where it stands.
        left_out: Keys that name no layer of the transformer.
    """

    path: Path
    layers: Mapping[str, Mapping[str, Tensor]]
    scales: Mapping[str, float]
    strength: Scales
    left_out: Sequence[str] = ()

    def describe(self) -> dict[str, Any]:
        """Gives what was added, for a model's identity, in JSON values."""
        return {
            "file": self.path.name,
            "hash": hash_file(self.path),
            **self.strength.describe(),
            **({"left_out": len(self.left_out)} if self.left_out else {}),
        }

    def adapter(self) -> dict[str, Tensor]:
        """Gives it with PEFT's keys, its scale multiplied in.

        Raises:
            InvalidModel: It changes more than PEFT can add to quantised weights.
        """
        weights = {}
        for layer, parts in self.layers.items():
            if set(parts) != {"down", "up"}:
                raise InvalidModel(
                    f"{self.path} changes {layer} as a whole, which quantised weights do not allow"
                )
            weights[f"{layer}.lora_A.weight"] = parts["down"]
            weights[f"{layer}.lora_B.weight"] = parts["up"] * self.scales[layer]
        return weights


def read_lora(path: Path, transformer: Any, *, strict: bool = True) -> LoraFile:
    """Reads a LoRA for a transformer.

    Args:
        path: A .safetensors file with keys in the style of diffusers, PEFT, Wan, DiffSynth,
            ComfyUI or musubi.
        transformer: What it is for; on the meta device it will do.
        strict: Whether a key that names no layer of the transformer is an error; else it is left
            out, with a warning.

    Raises:
        InvalidModel: The file cannot be read, names layers that are not there, was made for layers
            of other shapes, holds NaN, or does not say how strong it is.
    """
    names, strength = layer_names(transformer), read_scales(path)
    layers: dict[str, dict[str, Tensor]] = {}
    keys: dict[tuple[str, str], str] = {}
    scales, strange, tensors = {}, [], _tensors(path)
    for key, tensor in tensors.items():
        bare, part = parse_key(key) or ("", "")
        layer = names.get(bare)
        if layer is None:
            strange.append(key)
            continue
        if part != "alpha":  # which may be a whole number
            _check_tensor(path, key, tensor)
        if part in layers.setdefault(layer, {}):
            raise InvalidModel(f"{path} changes {layer} twice: {key} is its second {part}")
        layers[layer][part], keys[layer, part] = tensor, key
        scales[layer] = strength.layers.get(bare, 1.0)
    _check_kind(path, strange)
    if not layers or (strict and strange):
        raise InvalidModel(_not_for(path, strange, len(tensors), leave=bool(layers)))
    warn_left_out(path, strange)
    for layer, parts in layers.items():
        if {"down", "up"} <= set(parts):
            _check_ranks(path, keys[layer, "up"], parts)
        _check(path, layer, parts, transformer.get_submodule(layer))
        _settle(parts, scales[layer])
    return LoraFile(path, layers, scales, strength, strange)


def _check_kind(path: Path, strange: Sequence[str]) -> None:
    for key in strange:
        for kind, mark in _KINDS:
            if mark.search(key):
                raise InvalidModel(
                    f"{path} is {kind} (it has {key!r}), which cannot be added here: merge it into "
                    "the transformer with the tool that made it, or take a plain LoRA"
                )


def _not_for(path: Path, strange: Sequence[str], count: int, *, leave: bool) -> str:
    first = repr(strange[0]) if strange else "none at all"
    way = "; strict=false leaves these out" if leave else ""
    return (
        f"{path} is no LoRA for this model: {len(strange)} of its {count} keys name no "
        f"layer of the transformer, such as {first}; known are "
        f"keys in the style of diffusers, PEFT, Wan, DiffSynth, ComfyUI and musubi{way}"
    )


def _settle(parts: dict[str, Tensor], scale: float) -> None:
    """Drops the alpha, which is in the scale, and gives what is PEFT's the form of the others."""
    parts.pop("alpha", None)
    if "magnitude" in parts and parts["magnitude"].ndim == 1:
        parts["magnitude"] = parts["magnitude"][:, None]
    if "up_bias" in parts:
        parts["bias"] = parts.pop("up_bias") * scale


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
        weight: What the change is multiplied with; of a DoRA it must be 1, as tools do not agree
            on what another one means.
        device: Where to compute the change.

    Raises:
        InvalidModel: The change runs over, or it is a DoRA's with another weight than 1.
    """
    if weight != 1 and any("magnitude" in parts for parts in lora.layers.values()):
        raise InvalidModel(f"{lora.path} is a DoRA, whose weight must be 1, not {weight:g}")
    for layer, parts in lora.layers.items():
        module = transformer.get_submodule(layer)
        moved = {name: part.to(device, torch.float32) for name, part in parts.items()}
        if "down" in moved:
            change = moved["up"].flatten(1) @ moved["down"].flatten(1) * lora.scales[layer]
            change = change.view(module.weight.shape)
            if "magnitude" in moved:
                change = _turn(module.weight, change, moved["magnitude"])
            _add(module.weight, weight * change, lora, layer)
        for name in ("weight", "bias"):
            if name in moved:
                _add(getattr(module, name), weight * moved[name], lora, layer)


def _turn(weight: Tensor, change: Tensor, magnitude: Tensor) -> Tensor:
    """The change of a DoRA: a LoRA gives directions, and the length of each row is its own.

    Source: arXiv 2402.09353, equation 5; by rows as in PEFT, or by columns as in LyCORIS.
    """
    before = weight.detach().to(change.device, torch.float32)
    turned = before + change
    lengths = turned.norm(dim=1 if magnitude.shape[1] == 1 else 0, keepdim=True)
    return turned * (magnitude / lengths) - before


def _add(parameter: Tensor, change: Tensor, lora: LoraFile, layer: str) -> None:
    if not change.sum().isfinite():  # a sum keeps NaN and infinity
        raise InvalidModel(
            f"{lora.path} changes {layer} by more than a number can hold: take a smaller weight"
        )
    with torch.no_grad():
        parameter.copy_(parameter.to(change.device, torch.float32) + change)


def _check_tensor(path: Path, key: str, tensor: Tensor) -> None:
    if not tensor.is_floating_point():
        raise InvalidModel(f"{path} holds {tensor.dtype} at {key}: a LoRA is made of real numbers")
    if not tensor.float().isfinite().all():
        raise InvalidModel(f"{path} holds NaN or infinity at {key}: it was spoilt in its training")


def _check(path: Path, layer: str, parts: Mapping[str, Tensor], module: Any) -> None:
    if ("down" in parts) != ("up" in parts):
        raise InvalidModel(f"{path} is incomplete: {layer} has only one of its two matrices")
    if not set(parts) & {"down", "weight", "bias"}:
        raise InvalidModel(f"{path} is incomplete: {layer} has an alpha, but no matrices")
    if "magnitude" in parts:
        out, inner = (*module.weight.shape, 0)[:2]
        shape = tuple(parts["magnitude"].shape)
        if "down" not in parts or shape not in {(out,), (out, 1), (1, inner)}:
            raise InvalidModel(
                f"{path} is a DoRA with magnitudes {shape} at {layer}, whose weight is "
                f"{tuple(module.weight.shape)}: they must be one for each row or column"
            )
    if {"bias", "up_bias"} <= set(parts):
        raise InvalidModel(f"{path} changes the bias of {layer} twice")
    for name, parameter in (("weight", module.weight), ("bias", getattr(module, "bias", None))):
        shapes = set(_shapes(parts, name))
        wanted = None if parameter is None else tuple(parameter.shape)
        for shape in shapes - {wanted, _flat(wanted)}:
            raise InvalidModel(
                f"{path} is a LoRA for another base: its change of the {name} of {layer} has shape "
                f"{shape}, but that is {wanted or 'not there'}"
            )


def _check_ranks(path: Path, key: str, parts: Mapping[str, Tensor]) -> None:
    down, up = tuple(parts["down"].shape), tuple(parts["up"].shape)
    if len(up) < 2 or math.prod(up[1:]) != down[0]:
        raise InvalidModel(
            f"{path} holds {up} at {key}, but its other matrix {down} is of rank {down[0]}: the "
            "two must have one rank"
        )


def _shapes(parts: Mapping[str, Tensor], name: str) -> Iterable[tuple[int, ...]]:
    for part in (name, f"up_{name}"):
        if part in parts:
            yield tuple(parts[part].shape)
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
