"""Temporal latent dropout: when little noise is left, most of a film's latents need not go on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["kept_latents", "latent_dropout"]


def kept_latents(latents: int, every: int) -> list[int]:
    """Names the latents that go on: each `every`-th from the first, and the last.

    Source: arXiv 2511.19435 (IF-Edit, K = 3): 0, K, 2K ..., and the last of F latents.
    """
    return sorted({*range(0, latents, every), latents - 1})


@contextmanager
def latent_dropout(
    transformers: Iterable[nn.Module], latents: int, kept: list[int], below: float
) -> Iterator[None]:
    """Lets transformers see only some latents, from a noise level on, for as long as it is entered.

    The pipeline around them need know nothing of it, whatever its scheduler: a transformer is given
    the kept latents alone, and what it says of them is put back among zeros. As no latent touches
    another outside of the transformers, that is the loop on the kept latents; the others come out
    as noise, and are for the caller to leave out. Kept latents move together in time: the
    transformer numbers what it is given from 0.

    Args:
        transformers: diffusers' `WanTransformer3DModel`s.
        latents: Latent frames that the pipeline works on.
        kept: Those that go on.
        below: A timestep; at smaller ones only `kept` are seen. Wan2.2's own rule for its low-noise
            expert, so that its boundary given here is exactly the switch of experts.
    """

    def cut(_: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if float(named["timestep"].max()) >= below:
            return None
        named["hidden_states"] = named["hidden_states"][:, :, kept]
        if named["timestep"].ndim == 2:  # one for each token, as Wan2.2-TI2V-5B has it
            tokens = named["timestep"].unflatten(1, (latents, -1))
            named["timestep"] = tokens[:, kept].flatten(1)
        return args, named

    def put_back(_: nn.Module, __: Any, named: dict[str, Any], output: tuple[Tensor]) -> Any:
        [flow] = output
        if named["hidden_states"].shape[2] == latents:
            return None
        whole = flow.new_zeros(*flow.shape[:2], latents, *flow.shape[3:])
        whole[:, :, torch.tensor(kept, device=flow.device)] = flow
        return (whole,)

    handles = []
    for transformer in transformers:
        handles.append(transformer.register_forward_pre_hook(cut, with_kwargs=True))
        handles.append(transformer.register_forward_hook(put_back, with_kwargs=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
