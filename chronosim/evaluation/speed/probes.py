"""What is looked at while a model computes: its time, its memory and its arithmetic."""

from __future__ import annotations

import ctypes
import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any, TypeVar

import psutil
import torch
from diffusers.models.attention_dispatch import AttentionBackendName
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["finish", "flops_of", "memory_of", "seconds_of"]

_SAMPLED = 0.005  # seconds between two looks at the memory
_Answer = TypeVar("_Answer")


def seconds_of(
    call: Callable[[], _Answer], transformer: Any, device: torch.device
) -> tuple[_Answer, float, float]:
    """Times a call, and the denoising in it.

    Args:
        call: What is timed; it computes one batch.
        transformer: Whose forwards are the denoising.
        device: Where it computes; on a GPU the call is waited for, its forwards are not.

    Returns:
        The answer, the seconds of the call, and those from the beginning of the transformer's first
        forward to the end of its last one.
    """
    marks: list[Any] = []
    hooks = [
        transformer.register_forward_pre_hook(lambda *_: marks.append(_mark(device))),
        transformer.register_forward_hook(lambda *_: marks.append(_mark(device))),
    ]
    try:
        finish(device)
        began = perf_counter()
        answer = call()
        finish(device)
        seconds = perf_counter() - began
    finally:
        for hook in hooks:
            hook.remove()
    first, last = marks[0], marks[-1]
    loop = first.elapsed_time(last) / 1000 if device.type == "cuda" else last - first
    return answer, seconds, float(loop)


def memory_of(call: Callable[[], object], device: torch.device) -> int | None:
    """Measures the most memory in use during a call, in bytes.

    Returns:
        On a GPU what is allocated there, weights included; else by how much the process grows
        over what it held just before; None where the C library cannot give freed memory back, so
        that the growth would hang on what was called before.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        call()
        finish(device)
        return int(torch.cuda.max_memory_allocated(device))
    if not _trim():
        return None
    process, over = psutil.Process(), threading.Event()
    before = most = process.memory_info().rss

    def look() -> None:
        nonlocal most
        while not over.wait(_SAMPLED):
            most = max(most, process.memory_info().rss)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        call()
    finally:
        over.set()
        watcher.join()
    return int(max(most, process.memory_info().rss) - before)


def flops_of(call: Callable[[], object], transformer: Any) -> int:
    """Counts the transformer's floating-point operations in a call, whatever else it computes.

    Args:
        call: Counted is what PyTorch's dispatcher sees of it, so meanwhile the transformer runs
            uncompiled and with PyTorch's own attention: the same arithmetic.
        transformer: `ChronoEditTransformer3DModel`.

    Returns:
        Products of matrices, convolutions and attention; a multiplication and an addition are two.
    """
    # PyTorch 2.13 counts every kernel of attention but this one.
    missing = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops}
    with _plain(transformer), FlopCounterMode(display=False, custom_mapping=missing) as counter:
        call()
    return int(sum(counter.get_flop_counts()[type(transformer).__name__].values()))


def finish(device: torch.device) -> None:
    """Waits for all that a GPU was given to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _attention_flops(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    """Of shapes (batch, heads, tokens, features)."""
    batch, heads, tokens, features = query
    return int(2 * batch * heads * tokens * key[2] * (features + value[3]))


@contextmanager
def _plain(transformer: Any) -> Iterator[None]:
    compiled = [(module, module._compiled_call_impl) for module in transformer.modules()]
    processors = [block.attn1.processor for block in transformer.blocks]
    kernels = [(processor, processor._attention_backend) for processor in processors]
    for module, _ in compiled:
        module._compiled_call_impl = None
    for processor in processors:
        processor._attention_backend = AttentionBackendName.NATIVE
    try:
        yield
    finally:
        for module, call in compiled:
            module._compiled_call_impl = call
        for processor, kernel in kernels:
            processor._attention_backend = kernel


def _mark(device: torch.device) -> Any:
    if device.type != "cuda":
        return perf_counter()
    cuda: Any = torch.cuda  # untyped
    event = cuda.Event(enable_timing=True)
    event.record(torch.cuda.current_stream(device))
    return event


def _trim() -> bool:
    """Gives freed memory back to the system, where the C library can: glibc's."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):
        return False
    return True
