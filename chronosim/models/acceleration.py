"""More speed out of a transformer, each way by itself: none changes what it computes, but rounding.

All are for a GPU. On a CPU they cost exactness (a row alone and in a call differ) and gain little.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from diffusers.models.attention_dispatch import (
    AttentionBackendName,
    _AttentionBackendRegistry,
    dispatch_attention_fn,
)
from diffusers.utils import logging as diffusers_logging
from torch import nn

from chronosim.errors import InvalidConfig
from chronosim.models.parallel import share
from chronosim.models.settings import ModelSettings

__all__ = ["accelerate", "describe_acceleration"]

_FIELDS = ("compiled", "fused", "attention", "parallel")
_TOKENS = 64  # of the attention that a kernel is tried on


def accelerate(transformer: Any, settings: ModelSettings, device: torch.device) -> None:
    """Makes a placed transformer faster as the settings say, in place.

    Args:
        transformer: `ChronoEditTransformer3DModel`.
        settings: `compiled`, `fused`, `attention` and `parallel`.
        device: Where it computes.

    Raises:
        InvalidConfig: An attention that does not exist or cannot compute here, a compiler that
            PyTorch does not have, or heads that cannot be split.
    """
    if settings.attention is not None:
        _use_attention(transformer, settings.attention, device)
    if settings.fused:
        for block in transformer.blocks:
            _fuse(block.attn1)
    if settings.parallel:
        share(transformer, device)
    if settings.compiled:
        _compile(transformer, settings.compiled)


def describe_acceleration(settings: ModelSettings) -> Mapping[str, Any]:
    """Gives what of it is on, for a model's identity: each rounds in its own way."""
    return {name: getattr(settings, name) for name in _FIELDS if getattr(settings, name)}


def _fuse(attention: Any) -> None:
    """Joins the three projections; the single ones become views, so that nothing is held twice."""
    attention.fuse_projections()
    singles = (attention.to_q, attention.to_k, attention.to_v)
    parts = zip(attention.to_qkv.weight.chunk(3), attention.to_qkv.bias.chunk(3), strict=True)
    for single, (weight, bias) in zip(singles, parts, strict=True):
        single.weight = nn.Parameter(weight.detach(), requires_grad=False)
        single.bias = nn.Parameter(bias.detach(), requires_grad=False)


def _compile(transformer: Any, compiled: bool | str) -> None:
    """Compiles one block for all: its kernels fit any number of tokens from the second one on."""
    backend = "inductor" if compiled is True else str(compiled)
    known = torch.compiler.list_backends(exclude_tags=())
    if backend not in known:
        raise InvalidConfig(f"compiled must be true or one of {', '.join(known)}, not {backend!r}")
    transformer.compile_repeated_blocks(backend=backend)


def _use_attention(transformer: Any, name: str, device: torch.device) -> None:
    """Chooses how self-attention is computed; cross-attention is short, and stays as it is."""
    kinds = {kind.value: kind for kind in AttentionBackendName}
    if name not in kinds:
        raise InvalidConfig(f"attention must be one of {', '.join(kinds)}, not {name!r}")
    heads, width = transformer.config.num_attention_heads, transformer.config.attention_head_dim
    sample = torch.zeros(1, _TOKENS, heads, width, device=device, dtype=transformer.dtype)
    try:
        with _own_attention():
            transformer.set_attention_backend(name)  # downloads a kernel of the hub, where it must
            dispatch_attention_fn(sample, sample, sample, backend=kinds[name])
    except Exception as error:  # kernels raise whatever their makers chose
        reason = " ".join(str(error).split())[:300]
        raise InvalidConfig(
            f"attention={name} cannot compute on {device} in "
            f"{str(transformer.dtype).removeprefix('torch.')}: {reason}"
        ) from error


@contextmanager
def _own_attention() -> Iterator[None]:
    """Keeps diffusers from making one model's attention that of all models, as it would."""
    log: Any = diffusers_logging  # untyped
    level, (before, _) = log.get_verbosity(), _AttentionBackendRegistry.get_active_backend()
    log.set_verbosity_error()
    try:
        yield
    finally:
        log.set_verbosity(level)
        _AttentionBackendRegistry.set_active_backend(before)
