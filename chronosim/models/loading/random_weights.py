"""The published 14B model's shape with random weights: as fast as the true one, and as large.

On a CPU a toy of it, with as many kinds of parts and few numbers.
"""

from __future__ import annotations

from typing import Any

import diffusers
import torch
import transformers

from chronosim.errors import InvalidConfig
from chronosim.models.engine.acceleration import accelerate, describe_acceleration
from chronosim.models.engine.components import Components
from chronosim.models.loading.placement import GIB, free_memory
from chronosim.models.loading.plan import plan_model
from chronosim.models.loading.settings import ModelSettings
from chronosim.models.loading.weights import load_components

# Configs of the published repository, as in architecture.py.
_TRANSFORMER: dict[str, Any] = {
    "num_attention_heads": 40,
    "attention_head_dim": 128,
    "in_channels": 36,
    "out_channels": 16,
    "text_dim": 4096,
    "freq_dim": 256,
    "ffn_dim": 13824,
    "num_layers": 40,
    "image_dim": 1280,
    "added_kv_proj_dim": 5120,
}
_TEXT: dict[str, Any] = {
    "vocab_size": 256_384,
    "d_model": 4096,
    "d_kv": 64,
    "d_ff": 10_240,
    "num_layers": 24,
    "num_heads": 64,
    "feed_forward_proj": "gated-gelu",
}
_VISION: dict[str, Any] = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 16,
    "image_size": 224,
    "patch_size": 14,
    "hidden_act": "gelu",
}
# The same on a CPU: nobody has the hours.
_TOY: dict[str, dict[str, Any]] = {
    "transformer": {
        "num_attention_heads": 4,
        "attention_head_dim": 32,
        "text_dim": 64,
        "ffn_dim": 352,
        "num_layers": 4,
        "image_dim": 64,
        "added_kv_proj_dim": 128,
    },
    "text": {"vocab_size": 4096, "d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2},
    "vision": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3},
    "vae": {"base_dim": 8},
}
_EXACT = ("time_embedder", "scale_shift_table", "norm1", "norm2", "norm3")  # float32, as loaded
_PLAIN = ModelSettings()
_hf: Any = diffusers  # untyped


def make_14b_shape(
    device: torch.device,
    size: tuple[int, int],
    rows: int = 1,
    settings: ModelSettings = _PLAIN,
) -> Components:
    """Makes a model of ChronoEdit-14B's shape, in bfloat16, with nano's tokenizer.

    Args:
        device: A GPU; on a CPU the model is a toy, in float32.
        size: Height and width of the frames to come.
        rows: That are computed at once, all with their reasoning tokens; they are decoded one by
            one.
        settings: What makes it faster (`compiled`, `fused`, `attention`); the rest is not used.

    Raises:
        InvalidConfig: The GPU has too little memory; or the settings cannot work there.
    """
    plan = plan_model(
        "chronoedit-14b", gpu="h100", reasoning_steps="all", micro_batch=rows, revision="shape"
    )
    need = plan.memory(size)
    assert need is not None
    if device.type != "cpu" and need.device > free_memory(device):
        raise InvalidConfig(
            f"shape=true14b needs a GPU with about {need.device / GIB:.0f} GiB of memory free, and "
            f"{free_memory(device) / GIB:.1f} are: take shape=null, which measures the model itself"
        )
    small = load_components(plan_model("nano").location)
    networks = make_networks(device)
    accelerate(networks["transformer"], settings, device)
    return Components(
        tokenizer=small.tokenizer,
        image_processor=transformers.CLIPImageProcessorPil(
            size={"shortest_edge": 224}, crop_size={"height": 224, "width": 224}
        ),
        scheduler=_hf.UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0
        ),
        place=device,
        variant={
            "loras": [],
            "weights": "random",
            "toy": device.type == "cpu",
            **describe_acceleration(settings),
        },
        **networks,
    )


def make_networks(device: torch.device) -> dict[str, Any]:
    """Makes the four networks on a device, weights as their libraries draw them.

    On a CPU they are those of a toy. The autoencoder decodes rows one by one: eight at once would
    take about 60 GiB at 480 x 832, by the figures of placement.py.
    """
    whole: Any = transformers
    toy = _TOY if device.type == "cpu" else {}
    dtype = torch.float32 if toy else torch.bfloat16
    with device, _NumberFormat(dtype):
        text = whole.UMT5EncoderModel(whole.UMT5Config(**_TEXT | toy.get("text", {})))
        config = _TRANSFORMER | toy.get("transformer", {})
        transformer = _hf.ChronoEditTransformer3DModel(**config)
    for name, weight in transformer.named_parameters():
        if any(part in name for part in _EXACT):
            weight.data = weight.data.float()
    with device:
        seen = whole.CLIPVisionConfig(**_VISION | toy.get("vision", {}))
        vision = whole.CLIPVisionModel(seen)
        vae = _hf.AutoencoderKLWan(**toy.get("vae", {}))
    vae.enable_slicing()
    networks = {
        "text_encoder": text,
        "image_encoder": vision,
        "transformer": transformer,
        "vae": vae,
    }
    return {name: network.eval().requires_grad_(False) for name, network in networks.items()}


class _NumberFormat:
    """Makes new weights of a number format."""

    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype

    def __enter__(self) -> None:
        self._before = torch.get_default_dtype()
        torch.set_default_dtype(self._dtype)

    def __exit__(self, *_: object) -> None:
        torch.set_default_dtype(self._before)
