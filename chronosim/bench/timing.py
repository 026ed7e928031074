"""Times world models side by side: each takes its turn in every round, on the same prompts."""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
import psutil
import torch
from diffusers.models.attention_dispatch import AttentionBackendName
from torch.utils.flop_counter import FlopCounterMode

from chronosim.models.engine.sampling import Sampling
from chronosim.protocols import WorldModel
from chronosim.types import EditPrompt, Prediction


@dataclass(frozen=True, slots=True, eq=False)
class Contender:
    """A way to predict.

    Attributes:
        name: What it is called in the table.
        model: Answers.
        kind: `outcome` or `preview`: those of one kind give the same frames.
        sampling: How it samples.
        transformer: The network that it denoises with.
        stock: Whether it is what the others of its kind are compared with.
        forget: Called before each turn: nothing remembered of an earlier one may help.
    """

    name: str
    model: WorldModel
    kind: str
    sampling: Sampling
    transformer: Any
    stock: bool = False
    forget: Callable[[], None] = lambda: None


@dataclass(slots=True, eq=False)
class Timed:
    """What was measured of a contender.

    Attributes:
        seconds: Of each call, by the number of environments it stepped.
        predictions: What it answered with one environment.
        loops: Seconds of the denoising in each call for one environment.
        memory: Bytes at most in an untimed call for one environment (`memory_of`).
        flops: Of the transformer in such a call (`flops_of`).
    """

    seconds: dict[int, list[float]] = field(default_factory=dict)
    predictions: list[Prediction] = field(default_factory=list)
    loops: list[float] = field(default_factory=list)
    memory: int | None = None
    flops: int = 0

    def latency(self, share: float, environments: int = 1) -> float:
        """A percentile of the seconds of a call."""
        return float(np.percentile(self.seconds[environments], share))

    def rate(self, environments: int) -> float:
        """Environment steps a second, by the median call."""
        return environments / self.latency(50, environments)


def measure(
    contenders: Sequence[Contender],
    prompts: Sequence[EditPrompt],
    environments: Sequence[int],
    device: torch.device,
    progress: Callable[[], None],
) -> list[Timed]:
    """Times contenders, after a warm-up of each at every number of environments.

    In each round each takes its turn at each number, and who begins changes from round to round,
    so that whatever else the machine does hits all alike.

    Args:
        contenders: Whom.
        prompts: One for each round, all with different frames; the call for n environments takes
            the n that begin there.
        environments: Numbers of environments; 1 is among them.
        device: Whose memory is looked at.
        progress: Called after every call; there are `len(contenders) * len(environments) *
            (len(prompts) + 1)` and two more for each contender.
    """
    found = [Timed({number: [] for number in environments}) for _ in contenders]
    for contender, timed in zip(contenders, found, strict=True):
        for number in environments:
            _call(contender, _take(prompts, 0, number), device)
            progress()
        alone = partial(contender.model.predict, _take(prompts, 0, 1))
        contender.forget()
        timed.memory = memory_of(alone, device)
        progress()
        contender.forget()
        timed.flops = flops_of(alone, contender.transformer)
        progress()
    order = list(range(len(contenders)))
    for turn in range(len(prompts)):
        for number in environments:
            for index in order[turn % len(order) :] + order[: turn % len(order)]:
                given = _take(prompts, turn, number)
                answer, seconds, loop = _call(contenders[index], given, device)
                found[index].seconds[number].append(seconds)
                if number == 1:
                    found[index].loops.append(loop)
                    found[index].predictions += answer
                progress()
    return found


def matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Measures floating-point operations a second of a large product of matrices; the median."""
    side, times = (8192, 20) if device.type == "cuda" else (1024, 10)
    a = torch.randn(side, side, device=device).to(dtype)
    seconds = []
    for _ in range(times + 2):
        finish(device)
        began = perf_counter()
        a @ a
        finish(device)
        seconds.append(perf_counter() - began)
    return 2 * side**3 / float(np.median(seconds[2:]))


def _take(prompts: Sequence[EditPrompt], first: int, number: int) -> list[EditPrompt]:
    return [prompts[(first + row) % len(prompts)] for row in range(number)]


def _call(
    contender: Contender, prompts: Sequence[EditPrompt], device: torch.device
) -> tuple[Sequence[Prediction], float, float]:
    contender.forget()
    return seconds_of(partial(contender.model.predict, prompts), contender.transformer, device)


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


_LIBRARIES = ("chronosim", "torch", "diffusers", "transformers", "gymnasium", "numpy")


def describe_machine() -> dict[str, Any]:
    """Gives the processor, how many the process may use, system and Python, as JSON values."""
    return {
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "usable_cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def list_versions() -> dict[str, str]:
    """Gives the versions of chronosim and of the libraries that shape its answers."""
    return {name: version(name) for name in _LIBRARIES}


def _processor() -> str:
    """The processor's name; Python itself knows it only on some systems."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
