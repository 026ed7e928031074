"""Where a frame stands among the words that a Qwen-VL text encoder reads."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["frames_in_place"]


@contextmanager
def frames_in_place(encoder: Any) -> Iterator[None]:
    """Has a Qwen-VL encoder number a frame's tokens by row and column, inside the with.

    Since transformers 5 it does so only when it is told which tokens are the frame's. Diffusers
    0.42's Qwen-Image-Edit pipelines do not tell it (huggingface/diffusers#14194), and it numbers
    them as words then, without an error: the edit goes by something no training ever showed.

    Args:
        encoder: A pipeline's text encoder, of whichever kind, or None; only a Qwen-VL is told.
    """
    kind = str(getattr(getattr(encoder, "config", None), "model_type", ""))
    if (
        "_vl" not in kind
        or "mm_token_type_ids" not in inspect.signature(encoder.forward).parameters
    ):
        yield
        return

    def tell(module: Any, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        seen = named.get("image_grid_thw") is not None
        if seen and named.get("mm_token_type_ids") is None:
            tokens = named["input_ids"]
            named["mm_token_type_ids"] = (tokens == module.config.image_token_id).to(tokens.dtype)
        return args, named

    handle = encoder.register_forward_pre_hook(tell, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
