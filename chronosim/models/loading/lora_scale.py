"""How strongly a LoRA was trained to change the weights: every place where a file says so.

A LoRA's change is up @ down x scale, where scale is alpha / rank. Alpha may stand in tensors beside
the matrices (kohya, ComfyUI), in the file's metadata (diffusers, kohya) or in PEFT's
adapter_config.json beside the file. A place that is not read would change the strength in silence.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from chronosim.errors import InvalidModel
from chronosim.models.loading.checkpoint import bare_name
from chronosim.models.loading.sources import read_json

CONFIG = "adapter_config.json"
"""What PEFT writes beside a LoRA's file."""

# What a key says of its layer; PEFT puts an adapter's name before the last word.
_ENDINGS = (
    ("down", re.compile(r"\.(lora_A|lora_down|lora\.down)(\.[^.]+)?\.weight$")),
    ("up", re.compile(r"\.(lora_B|lora_up|lora\.up)(\.[^.]+)?\.weight$")),
    ("alpha", re.compile(r"\.alpha$")),
    ("weight", re.compile(r"\.diff$")),
    ("bias", re.compile(r"\.diff_b$")),
    ("magnitude", re.compile(r"\.(dora_scale|lora_magnitude_vector(\.weight)?)$")),
    ("up_bias", re.compile(r"\.lora_B(\.[^.]+)?\.bias$")),
)
_PLAIN = ("ss_network_alpha", "network_alpha", "lora_alpha", "alpha")  # metadata of one number
_ALIKE = 4e-3  # relative: alphas may be rounded to bfloat16
_PATTERN = 200  # letters that a pattern of layers may have
_REPEATS = 3  # and `*`, `+`, `{` and `?`: more can take for ever to match


@dataclass(frozen=True, slots=True)
class Scales:
    """What a LoRA's products of matrices are multiplied with.

    Attributes:
        layers: By the layer's name in the file, without the prefixes of tools.
        source: Where that stands, in words.
    """

    layers: Mapping[str, float]
    source: str

    @property
    def values(self) -> list[float]:
        """The scales that occur, each once."""
        return sorted(set(self.layers.values()))

    def describe(self) -> dict[str, Any]:
        """Gives them for a model's identity, in JSON values: `scale` and `scale_from`."""
        values = self.values
        return {"scale": values[0] if len(values) == 1 else values, "scale_from": self.source}


@dataclass(frozen=True, slots=True)
class _Place:
    """One place in which scales stand; a place that is silent of a layer is not asked for it."""

    name: str
    scales: Mapping[str, float]


def parse_key(key: str) -> tuple[str, str] | None:
    """Splits a key into its layer's name, without prefixes, and what it holds of it.

    Returns:
        The layer, and `down`, `up`, `alpha`, `weight`, `bias`, `up_bias` or, of a DoRA,
        `magnitude`; None: it is no key of a LoRA.
    """
    for part, ending in _ENDINGS:
        found = ending.search(key)
        if found:
            return bare_name(key[: found.start()]), part
    return None


def read_scales(path: Path) -> Scales:
    """Reads a LoRA file's scales; its matrices stay on the disk.

    Raises:
        InvalidModel: It cannot be read, a scale is no finite number, or two places disagree.
    """
    ranks, alphas, turned = {}, {}, set()
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            for key in [*file.keys()]:
                layer, part = parse_key(key) or ("", "")
                if part == "down":
                    ranks[layer] = _rank(path, key, file.get_slice(key).get_shape())
                elif part == "magnitude":
                    turned.add(layer)
                elif part == "alpha":
                    alphas[layer] = _alpha(path, key, file.get_tensor(key))
    except (OSError, SafetensorError) as error:
        raise InvalidModel(f"{path} cannot be read as safetensors: {error}") from error
    keyed = {layer: alpha / ranks[layer] for layer, alpha in alphas.items() if layer in ranks}
    places = [_Place("its alpha keys", keyed)] if keyed else []
    for name, config in _configs(path, metadata):
        if config.get("use_dora") and not turned >= set(ranks):
            raise InvalidModel(f"{path}: {name} says that it is a DoRA, but it lacks magnitudes")
        places.append(_Place(name, _read_config(f"{path}: {name}", config, ranks)))
    return _agree(path, ranks, places)


def _agree(path: Path, ranks: Mapping[str, int], places: list[_Place]) -> Scales:
    """Gives each layer the scale that all places have for it; 1 where none has any."""
    layers = {}
    for layer in ranks:
        stated = [(place.name, place.scales[layer]) for place in places if layer in place.scales]
        layers[layer] = stated[0][1] if stated else 1.0
        for name, scale in stated[1:]:
            if not math.isclose(scale, layers[layer], rel_tol=_ALIKE):
                raise InvalidModel(
                    f"{path} contradicts itself: {layer} is scaled by {layers[layer]:g} by "
                    f"{stated[0][0]}, and by {scale:g} by {name}; remove the wrong one"
                )
    return Scales(layers, " and ".join(place.name for place in places) or "no alpha given")


def _configs(path: Path, metadata: Mapping[str, str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The places besides keys, each as a config of PEFT's."""
    for name, text in sorted(metadata.items()):
        if name in _PLAIN and text.strip().lower() not in ("", "none"):
            yield f"its metadata {name}", {"lora_alpha": _parse(text)}
        elif text.lstrip().startswith("{"):
            config = _parse(text)
            if isinstance(config, dict):
                config = _of_transformer(config)
                if "lora_alpha" in config or "alpha_pattern" in config:
                    yield f"its metadata {name}", config
    if (path.parent / CONFIG).is_file():
        yield f"{CONFIG} beside it", read_json(path.parent / CONFIG)


def _of_transformer(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Diffusers writes a pipeline's configs into one, each name behind its network's."""
    ours = {
        k.removeprefix("transformer."): v for k, v in config.items() if k[:12] == "transformer."
    }
    return ours or config


def _read_config(
    where: str, config: Mapping[str, Any], ranks: Mapping[str, int]
) -> dict[str, float]:
    """Gives the layers' scales by a config of PEFT's."""
    kind = str(config.get("peft_type") or "LORA").upper()
    if kind != "LORA":
        raise InvalidModel(f"{where} says that it is a {kind}, of which only LORA can be added")
    if config.get("use_qalora"):
        raise InvalidModel(f"{where} says that it is a QALoRA, which chronosim cannot add")
    scales = {}
    for layer, rank in ranks.items():
        alpha = _number(
            where, "lora_alpha", _choose(where, config, "alpha_pattern", "lora_alpha", layer)
        )
        told = _choose(where, config, "rank_pattern", "r", layer)
        if told is not None and _number(where, "r", told) != rank:
            raise InvalidModel(
                f"{where} gives {layer} rank {told}, but its matrices have rank {rank}"
            )
        scales[layer] = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
    return scales


def _choose(where: str, config: Mapping[str, Any], patterns: str, name: str, layer: str) -> Any:
    """The value of the first pattern that names a layer, as PEFT has it; else the common one."""
    chosen = config.get(patterns) or {}
    if not isinstance(chosen, dict):
        raise InvalidModel(f"{where} has the {patterns} {chosen!r}: it must give numbers by layer")
    for pattern, value in chosen.items():
        if _matches(where, pattern, layer):
            return value
    return config.get(name)


def _matches(where: str, pattern: str, layer: str) -> bool:
    repeats = len(re.findall(r"[*+{?]", pattern))
    if len(pattern) > _PATTERN or repeats > _REPEATS or re.search(r"\)[*+{]", pattern):
        raise InvalidModel(f"{where} has the pattern {pattern[:60]!r}, which is no layer's name")
    try:
        return re.match(rf"(.*\.)?({pattern})$", layer) is not None
    except re.error as error:
        raise InvalidModel(f"{where} has the pattern {pattern!r}: {error}") from error


def _number(where: str, name: str, value: Any) -> float:
    number = math.nan
    if isinstance(value, int | float) and not isinstance(value, bool):
        with suppress(OverflowError):
            number = float(value)
    if not math.isfinite(number):
        raise InvalidModel(f"{where} has {name} {value!r}, which must be a finite number")
    return number


def _rank(path: Path, key: str, shape: list[int]) -> int:
    if len(shape) < 2 or 0 in shape:
        raise InvalidModel(
            f"{path} holds no matrix of a LoRA at {key}: its shape is {tuple(shape)}, and its "
            "rank, the first side, must be at least 1"
        )
    return int(shape[0])


def _alpha(path: Path, key: str, value: Tensor) -> float:
    if value.numel() != 1 or not math.isfinite(value.item()):
        raise InvalidModel(
            f"{path} has {value.flatten()[:4].tolist()} at {key}: an alpha is one finite number"
        )
    return float(value.item())


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
