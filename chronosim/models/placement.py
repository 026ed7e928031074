"""Puts a model's networks where they shall wait and compute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from accelerate.hooks import ModelHook, add_hook_to_module
from accelerate.utils import send_to_device
from diffusers.hooks import apply_group_offloading
from torch import nn

from chronosim.models.settings import ModelSettings

__all__ = ["place", "take_turns"]

_CPU = torch.device("cpu")


def place(
    networks: Mapping[str, Any], settings: ModelSettings, device: torch.device, dtype: torch.dtype
) -> None:
    """Places loaded networks as the settings say.

    Args:
        networks: By part; their weights lie in main memory, or where a quantiser put them.
        settings: Storage, offload, tiling and slicing.
        device: Where to compute.
        dtype: What the transformer computes in.
    """
    transformer, vae = networks["transformer"], networks["vae"]
    if settings.storage == "float8":
        transformer.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=dtype)
    if settings.tiling:
        vae.enable_tiling()
    if settings.slicing is not False:
        vae.enable_slicing()
    if settings.offload == "model":
        take_turns(networks, device)
    elif settings.offload == "group":
        _group(networks, device)
    else:
        for part, network in networks.items():
            if part not in (settings.quantization or {}):
                network.to(device)


def take_turns(networks: Mapping[str, nn.Module], device: torch.device) -> None:
    """Keeps on the device only the network that computes; it stays until another one's turn."""
    for network in networks.values():
        others = [other for other in networks.values() if other is not network]
        add_hook_to_module(network, _Turn(device, others))


class _Turn(ModelHook):
    """Brings a network to the device before it computes, and sends the others back.

    Accelerate's own hooks only know which network came before; here text, frame and autoencoder
    are needed again in whichever order their results are remembered.
    """

    def __init__(self, device: torch.device, others: list[nn.Module]) -> None:
        self._device = device
        self._others = others

    def pre_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        for other in self._others:
            other.to(_CPU)
        module.to(self._device)
        return send_to_device(args, self._device), send_to_device(kwargs, self._device)


def _group(networks: Mapping[str, Any], device: torch.device) -> None:
    """Streams the two large networks through the device; the small ones stay there."""
    streams = device.type == "cuda"
    networks["transformer"].enable_group_offload(
        onload_device=device,
        offload_device=_CPU,
        offload_type="block_level",
        num_blocks_per_group=1,
        use_stream=streams,
    )
    apply_group_offloading(
        networks["text_encoder"],
        onload_device=device,
        offload_device=_CPU,
        offload_type="leaf_level",
        use_stream=streams,
    )
    for part in ("image_encoder", "vae"):
        networks[part].to(device)
