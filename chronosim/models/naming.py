"""The names that the same weights go by: diffusers', Wan's own, and those that tools make of them.

Wan's checkpoints, ComfyUI and DiffSynth name layers as Wan does, behind a prefix or none; musubi
and kohya write underscores for its dots. Here every spelling of a name leads to diffusers' one; a
name that leads nowhere belongs to another model.
"""

from __future__ import annotations

from typing import Any

__all__ = ["bare_name", "layer_names", "original_name", "parameter_names"]

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
