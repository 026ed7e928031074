"""A model's environment steps timed on this machine, beside diffusers' own pipeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

import torch

from chronosim.bench.stock import pit
from chronosim.bench.table import figures
from chronosim.bench.timing import describe_machine, list_versions, matmul_rate, measure
from chronosim.errors import InvalidConfig
from chronosim.models.engine.chronoedit import ChronoEdit
from chronosim.models.engine.encoding import encode_text
from chronosim.models.loading.places import find_device
from chronosim.models.loading.presets import PRESETS
from chronosim.models.loading.random_weights import make_14b_shape
from chronosim.models.loading.settings import ModelSettings
from chronosim.types import EditPrompt, Trajectory

_SHAPED = ("compiled", "fused", "attention", "batched_guidance", "micro_batch")


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
