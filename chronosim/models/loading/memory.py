"""How much memory a model needs and where, before it is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil
import torch

from chronosim.errors import InvalidConfig
from chronosim.models.loading.architecture import PARTS, Architecture
from chronosim.models.loading.settings import ModelSettings

GIB = 2**30
# Bytes a pixel while Wan's autoencoder (96 channels) decodes or encodes in float32, and bytes in
# all while it does so in tiles: peaks that PyTorch's MemTracker counted on fake tensors at
# 480 x 832 and 720 x 1280, without what cuDNN borrows. Nobody measured them on a GPU here.
_DECODE, _ENCODE, _TILE = 19_800, 14_500, 1.6 * GIB
_TEXT_TOKENS = 128  # as in cost.py
_SPARE = GIB  # on a GPU: kernels' workspaces and what the allocator cannot fill


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a model takes, in bytes.

    Attributes:
        weights: As stored, by part.
        working: Beside the weights while a part computes, by part.
        device: The most at one time where it computes.
        host: In main memory while weights wait there.
    """

    weights: Mapping[str, int]
    working: Mapping[str, int]
    device: int
    host: int


def estimate_memory(
    model: Architecture,
    settings: ModelSettings,
    size: tuple[int, int],
    *,
    dtype: torch.dtype,
    latents: int,
    rows: int,
    on_cpu: bool,
    guided: bool,
    transformer: Path | None = None,
) -> Footprint:
    """Estimates a model's memory.

    Args:
        model: Its shape.
        settings: How it is loaded.
        size: The frames' height and width, in pixels.
        dtype: Of the transformer and the text encoder.
        latents: Latent frames that take part at most.
        rows: Rows computed at once.
        on_cpu: Whether it computes in main memory.
        guided: Whether an empty text is attended to as well.
        transformer: A file its weights come from.
    """
    weights = _weights(model, settings, dtype.itemsize, transformer)
    working = _working(model, settings, size, dtype.itemsize, latents, rows, guided)
    if settings.offload is None:
        device, host = sum(weights.values()) + max(working.values()), 0
    elif settings.offload == "model":
        device = max(weights[part] + working[part] for part in PARTS)
        host = sum(weights.values())
    else:
        device = _grouped(model, weights, working, dtype.itemsize)
        host = weights["transformer"] + weights["text_encoder"]
    return Footprint(
        MappingProxyType(weights),
        MappingProxyType(working),
        device + (0 if on_cpu else _SPARE),
        host,
    )


def free_memory(device: torch.device) -> int:
    """Gives the bytes that are free on a device; of main memory, what a container may take."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return min([int(psutil.virtual_memory().available), *_limits()])


def cheaper_settings(
    settings: ModelSettings, *, on_cpu: bool
) -> Iterator[tuple[str, ModelSettings]]:
    """Ways into less memory that go with what was chosen, the fastest first, and how to ask."""
    ways: tuple[dict[str, Any], ...] = (
        {"micro_batch": 1},
        {"tiling": True},
        {"offload": "model"},
        {"offload": "model", "tiling": True},
        {"storage": "float8", "tiling": True},
        {"storage": "float8", "offload": "model"},
        {"storage": "float8", "offload": "model", "tiling": True},
        {"offload": "group", "tiling": True},
        {"offload": "group", "tiling": True, "micro_batch": 1},
    )
    if on_cpu:
        ways = (
            {"tiling": True},
            {"dtype": "bfloat16", "tiling": True},
            {"dtype": "bfloat16", "storage": "float8", "tiling": True},
        )
    for way in ways:
        words = " ".join(f"{key}={str(value).lower()}" for key, value in way.items())
        with suppress(InvalidConfig):  # not together with what was chosen
            yield words, replace(settings, **way)


def _weights(
    model: Architecture, settings: ModelSettings, size: int, transformer: Path | None
) -> dict[str, int]:
    counts = model.parameters
    weights = {
        "text_encoder": counts["text_encoder"] * size,
        "image_encoder": counts["image_encoder"] * 4,  # this and the autoencoder stay in float32
        "transformer": counts["transformer"] * size,
        "vae": counts["vae"] * 4,
    }
    if transformer is not None and transformer.suffix == ".gguf":
        weights["transformer"] = transformer.stat().st_size
    if settings.storage == "float8":
        rest = counts["transformer"] - model.block_parameters
        weights["transformer"] = model.block_parameters + rest * size
    for part, config in (settings.quantization or {}).items():
        weights[part] = round(counts[part] * min(_bytes(config), size))
    return weights


def _bytes(config: Any) -> float:
    """Bytes a weight in a quantiser's form, where its config says; else those of float32."""
    if getattr(config, "load_in_8bit", False):
        return 1.0
    if getattr(config, "load_in_4bit", False):
        return 0.5625  # and one scale in float32 for every 64
    kind = f"{getattr(config, 'weights_dtype', '')} {getattr(config, 'quant_type', '')}".lower()
    return 0.5625 if "int4" in kind else 1.0 if "8" in kind else 4.0


def _working(
    model: Architecture,
    settings: ModelSettings,
    size: tuple[int, int],
    number: int,
    latents: int,
    rows: int,
    guided: bool,
) -> dict[str, int]:
    """What is alive beside the weights.

    The transformer's is what MemTracker counted for the 14B: 117 kB a token in bfloat16 and 197 kB
    in float32, split by the layers they come from; and the kept keys and values of text and frame.
    """
    token = 2 * number * model.feed_forward + round((7 + 2.5 * number) * model.width)
    kept = 2 * number * model.layers * model.width * (_TEXT_TOKENS + model.vision_tokens)
    transformer = rows * (model.tokens(size, latents) * token + kept * (2 if guided else 1))
    pixels = size[0] * size[1] / model.vae_patch**2 * model.vae_width / 96
    decoded = 1 if settings.slicing is not False else rows
    vae = max(pixels * _DECODE * decoded, pixels * _ENCODE)
    if settings.tiling:
        vae = min(vae, _TILE * decoded)
    return {"text_encoder": 0, "image_encoder": 0, "transformer": transformer, "vae": round(vae)}


def _grouped(
    model: Architecture, weights: Mapping[str, int], working: Mapping[str, int], number: int
) -> int:
    """One block computes while the next one arrives; the small parts stay."""
    blocks = weights["transformer"] * model.block_parameters // model.parameters["transformer"]
    rest = weights["transformer"] - blocks
    transformer = rest + 2 * blocks // model.layers + working["transformer"]
    text = 2 * number * model.largest_text_layer
    small = weights["vae"] + weights["image_encoder"]
    return small + max(transformer, text, working["vae"])


def _limits() -> Iterator[int]:
    """What a container's control group leaves."""
    group = Path("/sys/fs/cgroup")
    try:
        most = (group / "memory.max").read_text().strip()
        used = int((group / "memory.current").read_text())
        statistics = dict(line.split() for line in (group / "memory.stat").open())
        if most != "max":
            # Files kept in memory since they were read last are given up when somebody asks.
            yield max(0, int(most) - used + int(statistics["inactive_file"]))
    except (OSError, ValueError, KeyError):
        return
