"""A model's environment steps timed on this machine, beside diffusers' own pipeline."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from importlib.util import find_spec
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
import torch

from chronosim.bench.stock import pit
from chronosim.bench.table import figures
from chronosim.bench.timing import describe_machine, list_versions, matmul_rate, measure, seconds_of
from chronosim.errors import InvalidConfig
from chronosim.metrics.pixels import psnr, squared_error
from chronosim.models.engine.acceleration import cache_steps, compile_blocks, multiply_in_float8
from chronosim.models.engine.chronoedit import ChronoEdit
from chronosim.models.engine.encoding import encode_text
from chronosim.models.engine.sampling import Sampling
from chronosim.models.loading.architecture import (
    Architecture,
    estimate_cost,
    read_architecture,
)
from chronosim.models.loading.cards import say
from chronosim.models.loading.places import find_device
from chronosim.models.loading.presets import PRESETS
from chronosim.models.loading.random_weights import make_14b_shape
from chronosim.models.loading.settings import ModelSettings
from chronosim.types import EditPrompt, Trajectory

_SHAPED = ("compiled", "fused", "attention", "step_cache", "batched_guidance", "micro_batch")


def bench_model(
    model: ChronoEdit,
    prompts: Sequence[EditPrompt],
    truth: Sequence[Trajectory] | None = None,
    *,
    num_envs: Sequence[int] = (1,),
    reasoning_steps: int = 1,
    stock: bool = True,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> dict[str, Any]:
    """Times a model's environment steps, beside diffusers' own pipeline on the same weights.

    Args:
        model: The model.
        prompts: What everyone is asked in turn, frames of one size; as many as the largest of
            `num_envs`, or more.
        truth: What truly came of each; None: nobody knows.
        num_envs: Environments stepped by one call.
        reasoning_steps: Of the quick preview; the full one reasons in every step.
        stock: Whether diffusers' pipeline is timed too.
        progress: Told the calls done, and all.

    Returns:
        JSON values: `rows` with the figures of each contender, `matmul_rate`, `truth`, `size`,
        `model`, `versions` and `machine`.

    Raises:
        ChronosimError: Frames or words that the model does not take.
    """
    parts, numbers, done = model.components, sorted({1, *num_envs}), 0
    contenders = pit(model, reasoning_steps, stock=stock)
    rate = matmul_rate(parts.device, parts.dtype)
    calls = len(contenders) * (len(numbers) * (len(prompts) + 1) + 2)

    def count() -> None:
        nonlocal done
        done += 1
        progress(done, calls)

    timed = measure(contenders, prompts, numbers, parts.device, count)
    return {
        "rows": figures(contenders, timed, rate, truth),
        "matmul_rate": rate,
        "truth": truth is not None,
        "size": list(prompts[0].frame.shape[:2]),
        "model": _describe(model),
        "versions": list_versions(),
        "machine": _machine(parts.device),
    }


def make_shaped(
    given: Mapping[str, Any], size: tuple[int, int], rows: int, changes: Mapping[str, Any]
) -> ChronoEdit:
    """Gives an engine of ChronoEdit-14B's shape with random weights.

    Args:
        given: Settings of a model, of which those that shape its speed are taken.
        size: Of its frames, pixels.
        rows: Rows in a call, at most.
        changes: Fields of `Sampling`.

    Raises:
        InvalidConfig: A setting that random weights have no use for.
    """
    usual = {field.name: field.default for field in fields(ModelSettings)}
    used = ("name", "preset", "device", *_SHAPED)
    unused = [
        name
        for name, value in given.items()
        if name not in used and value not in (None, []) and value is not usual.get(name)
    ]
    if unused:
        raise InvalidConfig(
            f"shape=true14b has no use for {', '.join(f'model.{name}' for name in unused)}: drop "
            f"it, or time the model itself with shape=null; it takes device, {', '.join(_SHAPED)}"
        )
    device = find_device(given.get("device"))
    shaping = ModelSettings(**{n: given[n] for n in _SHAPED if given.get(n) is not None})
    together = min(shaping.micro_batch or rows, rows)
    return ChronoEdit(
        make_14b_shape(device, size, together, shaping),
        replace(PRESETS["chronoedit-14b-turbo"].sampling, **changes),
        name="the shape of ChronoEdit-14B",
        batched_guidance=shaping.batched_guidance,
        micro_batch=together,
    )


@dataclass(frozen=True, slots=True)
class Way:
    """A way to more speed.

    Attributes:
        settings: Of the model.
        presets: Those that it is tried on; None: all.
    """

    settings: Mapping[str, Any]
    presets: tuple[str, ...] | None = None

    @property
    def words(self) -> str:
        """The settings as they are written on the command line."""
        return say(self.settings, "") or "as it is"


_BASE, _TURBO = "chronoedit-14b", "chronoedit-14b-turbo"
# The last one changes the weights in place. What is tried on which preset takes five minutes on an
# H100, by the plan's arithmetic.
_WAYS = (
    Way({}),
    Way({"step_cache": 0.1}),
    Way({"step_cache": 0.05}, (_BASE,)),
    Way({"step_cache": 0.2}, (_BASE,)),
    Way({"batched_guidance": True}, (_BASE,)),
)
_GPU_WAYS = (
    Way({"compiled": True}, (_TURBO, _BASE)),
    Way({"compiled": True, "storage": "float8-matmul"}),
)


def compare_ways(
    model: ChronoEdit,
    samplings: Mapping[str, Sampling],
    prompts: Sequence[EditPrompt],
    shape: Architecture | None,
    size: tuple[int, int],
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> dict[str, Any]:
    """Times presets with and without each way to more speed, and how far off the answers are.

    Args:
        model: Plain; where 8 bits can be had, its blocks are in 8 bits afterwards.
        samplings: Presets by name.
        prompts: What each is asked, one after the other.
        shape: Whose FLOPs are reckoned; None: the model's own, where it lies in a folder.
        size: Of the frames that they are reckoned for, pixels.
        progress: Told the rows done, and all.

    Returns:
        JSON values: `rows`, each with `preset`, `with`, `seconds` a prediction (median), `blocks`
        computed of all, `flops` of the transformer for those, `psnr` (dB; None: equal) and `levels`
        (grey levels at most) to the plain answers, and `memory` (bytes on a GPU); `size`, `frames`
        (the size of those asked), `matmul_rate`, `model`, `versions`,
        `machine`.
    """
    parts = model.components
    if shape is None and parts.folder is not None:
        shape = read_architecture(parts.folder)
    ways = [*_WAYS, *(_GPU_WAYS if model.components.device.type == "cuda" else ())]
    if not find_spec("torchao"):
        ways = [way for way in ways if "storage" not in way.settings]
    pairs = [
        (way, name)
        for way in ways
        for name in samplings
        if way.presets is None or name in way.presets or not _known(samplings)
    ]
    plain: dict[str, list[Trajectory]] = {}
    rows: list[dict[str, Any]] = []
    for way, names in groupby(pairs, key=itemgetter(0)):
        with _sped_up(model, way.settings):
            for _, name in names:
                if way.settings.get("batched_guidance") and not samplings[name].guided:
                    continue
                row, answers = _time_way(model, samplings[name], prompts, way)
                cost = None if shape is None else estimate_cost(shape, samplings[name], size)
                row["flops"] = None if cost is None else cost.prediction * row["blocks"]
                off = _off(answers, plain.setdefault(name, answers))
                rows.append({"preset": name, "with": way.words, **row, **off})
                progress(len(rows), len(pairs))
    return {
        "rows": rows,
        "size": list(size),
        "frames": list(prompts[0].frame.shape[:2]),
        "matmul_rate": matmul_rate(parts.device, parts.dtype),
        "model": _describe(model),
        "versions": list_versions(),
        "machine": _machine(parts.device),
    }


def _known(samplings: Mapping[str, Sampling]) -> bool:
    return _BASE in samplings


@contextmanager
def _sped_up(model: ChronoEdit, settings: Mapping[str, Any]) -> Iterator[None]:
    """Speeds a model up inside the with; products in 8 bits stay."""
    transformer, device = model.components.transformer, model.components.device
    if settings.get("storage"):
        multiply_in_float8(transformer, device)
    if settings.get("compiled"):
        compile_blocks(transformer, True)
    if settings.get("step_cache") is not None:
        cache_steps(transformer, settings["step_cache"])
    model.batched_guidance = bool(settings.get("batched_guidance"))
    try:
        yield
    finally:
        model.batched_guidance = False
        if transformer.is_cache_enabled:
            transformer.disable_cache()
        for block in transformer.blocks:
            block._compiled_call_impl = None


def _time_way(
    model: ChronoEdit, sampling: Sampling, prompts: Sequence[EditPrompt], way: Way
) -> tuple[dict[str, Any], list[Trajectory]]:
    parts, engine = model.components, model.resampled(sampling)
    engine.warm_up(prompts[:1])
    seconds, answers, counts = [], [], _Counts()
    if parts.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(parts.device)
    for prompt in prompts:
        for memo in (parts.texts, parts.frames, parts.conditions):
            memo.clear()
        with counts.counting(parts.transformer, counted=not way.settings.get("compiled")):
            [answer], took, _ = seconds_of(
                partial(engine.predict, [prompt]), parts.transformer, parts.device
            )
        seconds.append(took)
        answers.append(answer.trajectory)
    on_gpu = parts.device.type == "cuda"
    return {
        "seconds": float(np.median(seconds)),
        "blocks": counts.share,
        "memory": int(torch.cuda.max_memory_allocated(parts.device)) if on_gpu else None,
    }, answers


class _Counts:
    """Counts how often the last block computes, beside the first, which always does."""

    def __init__(self) -> None:
        self._first = self._last = 0
        self._blocks = 1

    @contextmanager
    def counting(self, transformer: Any, *, counted: bool) -> Iterator[None]:
        """Counts inside the with, tokens by tokens."""
        if not counted:  # a compiled block calls no Python
            yield
            return
        self._blocks = len(transformer.blocks)

        def first(_: Any, args: Any, named: Any) -> None:
            self._first += _tokens(args, named)

        def last(_: Any, args: Any, named: Any) -> None:
            self._last += _tokens(args, named)

        ends = (transformer.blocks[0].attn1, transformer.blocks[-1].attn1)
        handles = [
            module.register_forward_pre_hook(hook, with_kwargs=True)
            for module, hook in zip(ends, (first, last), strict=True)
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    @property
    def share(self) -> float:
        """Of all blocks, weighted by their tokens."""
        if self._first == 0:
            return 1.0
        others = self._last / self._first * (self._blocks - 1)
        return (1 + others) / self._blocks


def _tokens(args: Any, named: Any) -> int:
    hidden = args[0] if args else named["hidden_states"]
    return int(hidden.shape[0] * hidden.shape[1])


def _off(ours: Sequence[Trajectory], plain: Sequence[Trajectory]) -> dict[str, Any]:
    pairs = list(zip(ours, plain, strict=True))
    error = float(np.mean([squared_error(a, b) for a, b in pairs]))
    levels = max(int(np.abs(a.astype(int) - b.astype(int)).max()) for a, b in pairs)
    return {"psnr": psnr(error) if error else None, "levels": levels}


def check_setup(model: ChronoEdit, prompts: Sequence[EditPrompt], reasoning_steps: int) -> None:
    """Refuses what `bench_model` could not work with, before minutes are spent on timing.

    Raises:
        InvalidConfig: The model has fewer denoising steps than are to reason.
        InvalidFrame: It does not take the frames.
        InvalidPrompt: It does not take the words of one.
    """
    replace(model.sampling, reasoning_steps=reasoning_steps)
    frame = prompts[0].frame  # all are of one size
    model.reconstruct(frame, frame[None])
    with torch.inference_mode():
        for prompt in prompts:
            encode_text(model.components, prompt.text)


def _machine(device: torch.device) -> dict[str, Any]:
    gpu = {"gpu": torch.cuda.get_device_name(device)} if device.type == "cuda" else {}
    return describe_machine() | gpu | {"torch_threads": torch.get_num_threads()}


def _describe(model: ChronoEdit) -> dict[str, Any]:
    """A model's identity; random weights are not hashed, which would take minutes."""
    parts = model.components
    if parts.folder is not None:
        return {**model.identity, "device": str(parts.device)}
    return {
        "name": model.name,
        **parts.variant,
        "sampling": asdict(model.sampling),
        "device": str(parts.device),
        "dtype": str(parts.dtype).removeprefix("torch."),
        "micro_batch": model.micro_batch,
        "batched_guidance": model.batched_guidance,
    }
