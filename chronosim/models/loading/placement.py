"""Where a model's weights lie, from the disk to the device, and how much memory that takes.

What places the weights and what reckons the memory read the same two facts, `LOADING_ORDER` and
`wait_where`, so that a plan is what loading does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil
import torch
from accelerate.hooks import ModelHook, add_hook_to_module
from accelerate.utils import send_to_device
from diffusers.hooks import apply_group_offloading
from torch import Tensor, nn

from chronosim.errors import InvalidConfig
from chronosim.models.engine.acceleration import multiply_in_float8
from chronosim.models.loading.architecture import PARTS, TEXT_TOKENS, Architecture
from chronosim.models.loading.settings import ModelSettings

LOADING_ORDER = ("transformer", "image_encoder", "vae", "text_encoder")
"""The largest is read first: once it is on the device, or in 8 bits, the others take its room. The
second largest comes last, when the small ones have gone where they stay."""

GIB = 2**30
# Bytes a pixel while Wan's autoencoder (96 channels) decodes or encodes in float32, and bytes in
# all while it does so in tiles: peaks that PyTorch's MemTracker counted on fake tensors at
# 480 x 832 and 720 x 1280, without what cuDNN borrows. Nobody measured them on a GPU here.
_DECODE, _ENCODE, _TILE = 19_800, 14_500, 1.6 * GIB
_CPU = torch.device("cpu")
SPARE = GIB
"""Bytes on a GPU for kernels' workspaces and for what the allocator cannot fill."""


def wait_where(part: str, settings: ModelSettings) -> str:
    """Says where a network's weights wait for their turn.

    Returns:
        "device"; "host", in main memory; or "pinned", in main memory that the GPU reads itself.
    """
    if settings.offload is None or (settings.offload == "group" and part not in _STREAMED):
        return "device"
    return "pinned" if settings.offload == "group" and settings.pinned else "host"


_STREAMED = ("transformer", "text_encoder")


def place(
    networks: Iterable[tuple[str, Any]],
    settings: ModelSettings,
    device: torch.device,
    dtype: torch.dtype,
) -> dict[str, Any]:
    """Places networks as the settings say, each before the next one is read.

    Args:
        networks: Parts and their networks, in `LOADING_ORDER`; their weights lie in main memory,
            or where a quantiser put them.
        settings: Storage, offload, tiling and slicing.
        device: Where to compute.
        dtype: What the transformer computes in.

    Returns:
        The networks by part.
    """
    placed: dict[str, Any] = {}
    for part, network in networks:
        _store(part, network, settings, device, dtype)
        if settings.offload == "group" and part in _STREAMED:
            _stream(network, device, pinned=wait_where(part, settings) == "pinned")
        elif wait_where(part, settings) == "device" and part not in (settings.quantization or {}):
            network.to(device)
        placed[part] = network
    if settings.offload == "model":
        take_turns(placed, device)
    return placed


def _store(
    part: str, network: Any, settings: ModelSettings, device: torch.device, dtype: torch.dtype
) -> None:
    if part == "transformer" and settings.storage == "float8":
        network.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=dtype)
    if part == "transformer" and settings.storage == "float8-matmul":
        multiply_in_float8(network, device)
        if wait_where(part, settings) != "device":
            network.to(_CPU)
    if part == "vae" and settings.tiling:
        network.enable_tiling()
    if part == "vae" and settings.slicing is not False:
        network.enable_slicing()


def _stream(network: Any, device: torch.device, *, pinned: bool) -> None:
    """Streams a network through the device: one block computes while the next one arrives."""
    streams = device.type == "cuda"
    by_block = hasattr(network, "blocks")
    if streams and pinned:
        # Tensor by tensor, so that the weights never lie in both kinds of memory; diffusers would
        # pin copies of all before it lets go of the first.
        for parameter in network.blocks.parameters() if by_block else network.parameters():
            if type(parameter.data) is Tensor:  # a quantiser's has parts that only diffusers pins
                parameter.data = parameter.data.pin_memory()
    apply_group_offloading(
        network,
        onload_device=device,
        offload_device=_CPU,
        offload_type="block_level" if by_block else "leaf_level",
        num_blocks_per_group=1 if by_block else None,
        use_stream=streams,
        low_cpu_mem_usage=streams and not pinned,
    )


def take_turns(networks: Mapping[str, nn.Module], device: torch.device) -> None:
    """Keeps on the device only the network that computes; it stays until another one's turn."""
    guests = {part: Guest(network, device) for part, network in networks.items()}
    for part, network in networks.items():
        others = [guest for other, guest in guests.items() if other != part]
        add_hook_to_module(network, _Turn(device, guests[part], others))


class Guest:
    """A network that is on a device only while it has to be; its weights wait in main memory.

    It leaves for nothing: what waits there was never given up, so that nothing is copied back.
    Only weights in a quantiser's own form are, whose parts nobody but the quantiser knows.

    Args:
        network: Its weights lie in main memory, and nobody changes them any more.
        device: Where it computes.
    """

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        self._network = network
        self._device = device
        self._waiting: list[tuple[dict[str, Any], str, Tensor, Tensor]] = [
            (owners, name, tensor, tensor.data)
            for module in network.modules()
            for owners in (module._parameters, module._buffers)
            for name, tensor in owners.items()
            if tensor is not None
        ]
        self._plain = all(type(data) is Tensor for *_, data in self._waiting)

    def arrive(self) -> None:
        """Brings it to the device."""
        self._network.to(self._device)

    def leave(self) -> None:
        """Frees the device of it."""
        if not self._plain:
            self._network.to(_CPU)
            return
        for owners, name, tensor, data in self._waiting:
            owners[name] = tensor
            tensor.data = data

    @contextmanager
    def visit(self) -> Iterator[None]:
        """Has it on the device inside the with."""
        self.arrive()
        try:
            yield
        finally:
            self.leave()


class _Turn(ModelHook):
    """Brings a network to the device before it computes, and sends the others off.

    Accelerate's own hooks only know which network came before; here text, frame and autoencoder
    are needed again in whichever order their results are remembered.
    """

    def __init__(self, device: torch.device, guest: Guest, others: list[Guest]) -> None:
        self._device = device
        self._guest = guest
        self._others = others

    def pre_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        for other in self._others:
            other.leave()
        self._guest.arrive()
        return send_to_device(args, self._device), send_to_device(kwargs, self._device)


@dataclass(frozen=True, slots=True)
class Stage:
    """A moment of a model's life.

    Attributes:
        name: What happens.
        device: Bytes where it computes.
        host: Bytes in main memory; 0 where it computes there.
    """

    name: str
    device: int
    host: int


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a model takes, in bytes.

    Attributes:
        weights: As stored, by part.
        working: Beside the weights while a part computes, by part.
        stages: The loading of each part, and each part at work.
    """

    weights: Mapping[str, int]
    working: Mapping[str, int]
    stages: tuple[Stage, ...]

    @property
    def device(self) -> int:
        """The most at one time where it computes."""
        return max(stage.device for stage in self.stages)

    @property
    def host(self) -> int:
        """The most at one time in main memory, where it computes elsewhere."""
        return max(stage.host for stage in self.stages)


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
    """Estimates a model's memory, from the first file that is read to the last frame.

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
    working = working_memory(
        model, settings, size, number=dtype.itemsize, latents=latents, rows=rows, guided=guided
    )
    waiting = {
        part: _pinned(part, model, weights[part])
        if wait_where(part, settings) == "pinned"
        else weights[part]
        for part in PARTS
    }
    read = _read(model, settings, weights, dtype.itemsize, transformer)
    stages = [*_loading(settings, read, weights, waiting, on_cpu=on_cpu)]
    stages += _computing(model, settings, weights, working, waiting, dtype.itemsize)
    spare = 0 if on_cpu else SPARE
    return Footprint(
        MappingProxyType(weights),
        MappingProxyType(working),
        tuple(
            Stage(stage.name, stage.device + stage.host, 0)
            if on_cpu
            else replace(stage, device=stage.device + spare)
            for stage in stages
        ),
    )


def _loading(
    settings: ModelSettings,
    read: Mapping[str, int],
    weights: Mapping[str, int],
    waiting: Mapping[str, int],
    *,
    on_cpu: bool,
) -> Iterator[Stage]:
    """What `place` does: a part is read into main memory, and moves before the next is read.

    Args:
        settings: How it is loaded.
        read: Bytes of each part as it is read.
        weights: As it is stored.
        waiting: As it waits.
        on_cpu: Whether main memory is where it computes, so that nothing moves.
    """
    device = host = 0
    for part in LOADING_ORDER:
        there = wait_where(part, settings) == "device"
        arrived = weights[part] if there and not on_cpu else 0
        staged = max(read[part], 0 if there else waiting[part])
        if there and part in (settings.quantization or {}):
            staged = 0  # quantised on the device, shard by shard
        yield Stage(f"loading the {part_words(part)}", device + arrived, host + staged)
        device += arrived
        host += 0 if there and not on_cpu else waiting[part]


def _computing(
    model: Architecture,
    settings: ModelSettings,
    weights: Mapping[str, int],
    working: Mapping[str, int],
    waiting: Mapping[str, int],
    number: int,
) -> Iterator[Stage]:
    """What lies where while each part computes."""
    stay = {part for part in PARTS if wait_where(part, settings) == "device"}
    staying = sum(weights[part] for part in stay)
    host = sum(waiting[part] for part in PARTS if part not in stay)
    for part in PARTS:
        own = 0 if part in stay else weights[part]
        if settings.offload == "group" and part in _STREAMED:
            own = _streamed(part, model, weights[part], number)
        yield Stage(f"the {part_words(part)} computes", staying + own + working[part], host)


def _streamed(part: str, model: Architecture, weights: int, number: int) -> int:
    """On the device: one block computes while the next one arrives; what is no block stays."""
    if part == "text_encoder":
        return 2 * number * max(model.text)
    blocks = weights * model.block_parameters // model.parameters["transformer"]
    return weights - blocks + 2 * blocks // model.layers


def _pinned(part: str, model: Architecture, weights: int) -> int:
    """In pinned memory, which PyTorch hands out in powers of two (pytorch/pytorch#150517).

    Pinned are the text encoder and the transformer's blocks; of the latter the largest share of
    weights has a tensor's full number format, and so all are reckoned alike.
    """
    if part == "text_encoder":
        each = weights / model.parameters[part]
        return sum(_power_of_two(size * each) * count for size, count in model.text.items())
    each = weights / model.parameters[part]
    blocks = sum(_power_of_two(size * each) * count for size, count in model.block.items())
    return model.layers * blocks + weights - round(model.block_parameters * each)


def _power_of_two(size: float) -> int:
    return 1 << (math.ceil(size) - 1).bit_length()


def part_words(part: str) -> str:
    """Gives a part's name as words."""
    return {"vae": "autoencoder"}.get(part, part.replace("_", " "))


def free_memory(device: torch.device) -> int:
    """Gives the bytes that are free on a device; of main memory, what a container may take."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return min([int(psutil.virtual_memory().available), *_limits()])


def cheaper_settings(
    settings: ModelSettings, *, on_cpu: bool
) -> Iterator[tuple[Mapping[str, Any], ModelSettings]]:
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
        {"offload": "group", "tiling": True, "pinned": False},
        {"offload": "group", "tiling": True, "micro_batch": 1},
    )
    if on_cpu:
        ways = (
            {"tiling": True},
            {"dtype": "bfloat16", "tiling": True},
            {"dtype": "bfloat16", "storage": "float8", "tiling": True},
        )
    for way in ways:
        with suppress(InvalidConfig):  # not together with what was chosen
            yield way, replace(settings, **way)


def whole_weights(model: Architecture, number: int, *, vae: int = 4) -> dict[str, int]:
    """Bytes by part, unquantised, at so many a number; the image encoder stays in float32."""
    sizes = {"text_encoder": number, "image_encoder": 4, "transformer": number, "vae": vae}
    return {part: model.parameters[part] * size for part, size in sizes.items()}


def _vae_number(settings: ModelSettings) -> int:
    return 4 if settings.vae_dtype in (None, "float32") else 2


def _read(
    model: Architecture,
    settings: ModelSettings,
    weights: Mapping[str, int],
    number: int,
    transformer: Path | None,
) -> dict[str, int]:
    """Bytes by part as they are read, before they are stored in fewer bits."""
    read = whole_weights(model, number, vae=_vae_number(settings))
    if transformer is not None:
        read["transformer"] = max(read["transformer"], transformer.stat().st_size)
    if settings.quantizes_transformer:
        read["transformer"] = weights["transformer"]
    return read | {part: weights[part] for part in settings.quantization or {}}


def _weights(
    model: Architecture, settings: ModelSettings, size: int, transformer: Path | None
) -> dict[str, int]:
    counts = model.parameters
    weights = whole_weights(model, size, vae=_vae_number(settings))
    if transformer is not None and transformer.suffix == ".gguf":
        weights["transformer"] = transformer.stat().st_size
    if settings.storage is not None:
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


def working_memory(
    model: Architecture,
    settings: ModelSettings,
    size: tuple[int, int],
    *,
    number: int,
    latents: int,
    rows: int,
    guided: bool,
) -> dict[str, int]:
    """Estimates what is alive beside the weights while each part computes, in bytes.

    The transformer's is what MemTracker counted for the 14B: 117 kB a token in bfloat16 and 197 kB
    in float32, split by the layers they come from; and the kept keys and values of text and frame.

    Args:
        model: Its shape.
        settings: Tiling and slicing.
        size: The frames' height and width, in pixels.
        number: Bytes of a number that the transformer computes with.
        latents: Latent frames that take part at most.
        rows: Rows computed at once.
        guided: Whether an empty text is attended to as well.
    """
    token = 2 * number * model.feed_forward + round((7 + 2.5 * number) * model.width)
    kept = 2 * number * model.layers * model.width * (TEXT_TOKENS + model.vision_tokens)
    transformer = rows * (model.tokens(size, latents) * token + kept * (2 if guided else 1))
    pixels = size[0] * size[1] / model.vae_patch**2 * model.vae_width / 96
    decoded = 1 if settings.slicing is not False else rows
    share = _vae_number(settings) / 4  # the counts are of float32
    vae = max(pixels * _DECODE * decoded, pixels * _ENCODE) * share
    if settings.tiling:
        vae = min(vae, _TILE * decoded * share)
    return {"text_encoder": 0, "image_encoder": 0, "transformer": transformer, "vae": round(vae)}


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
