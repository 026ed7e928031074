"""Times a model's environment steps on this machine, beside diffusers' own pipeline.

Both have the same weights, number format, frames, words, noise and denoising steps, and take turns
in one run, so that whatever else the machine does hits both. Timed are the outcome alone (no
reasoning), and a preview: frames in between, ours by full reasoning and by reasoning that is
dropped early, the stock pipeline's by full reasoning, its only way to them. Nothing is remembered
from one call to the next. Beside it: the memory of a call; the transformer's arithmetic, counted in
a call of each, and its share, in the denoising loop, of what this machine does in one large product
of matrices; and how far predictions lie from the reference simulator's truth where there is one,
and from the stock pipeline's where both sample alike.

Examples:
    chronosim bench model
    chronosim bench model predictions=30 'num_envs=[1, 8]' threads=1
    chronosim bench model shape=true14b denoising_steps=8 guidance=1 model.compiled=true
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from functools import partial
from typing import Any

import torch
from tqdm import tqdm

from chronosim.bench.stock import draw_drive, pit, random_frames
from chronosim.bench.table import explain, figures, markdown
from chronosim.bench.timing import describe_machine, list_versions, matmul_rate, measure
from chronosim.cli.output import new_folder
from chronosim.cli.terminal import faint
from chronosim.errors import InvalidConfig, MissingDependency
from chronosim.models.engine.chronoedit import ChronoEdit
from chronosim.models.engine.encoding import encode_text
from chronosim.models.loading.places import find_device
from chronosim.models.loading.presets import PRESETS
from chronosim.models.loading.random_weights import make_14b_shape
from chronosim.models.loading.settings import ModelSettings
from chronosim.settings.commands import BenchModel
from chronosim.settings.typed import plain
from chronosim.types import EditPrompt, Trajectory

__all__ = ["run"]

_SHAPED = ("compiled", "fused", "attention", "batched_guidance", "micro_batch")
_FRAME_SIZE = (480, 832)  # where a model has none of its own
_ELSEWHERE = ("offload", "storage", "quantization", "parallel")  # not copied for the stock pipeline


def run(settings: BenchModel) -> None:
    """Runs the command.

    Raises:
        ChronosimError: A setting that cannot work, or a model that cannot be had.
    """
    numbers, rounds = sorted({1, *settings.num_envs}), settings.predictions
    if max(numbers) > rounds:
        raise InvalidConfig(
            f"predictions must be at least the largest num_envs ({max(numbers)}), not {rounds}: "
            "each environment has a frame of its own"
        )
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    model = _model(settings, max(numbers))
    prompts, truth = _prompts(settings, model)
    _try(model, prompts)
    parts = model.components
    contenders = pit(model, settings.reasoning_steps, stock=settings.stock)
    folder = new_folder(settings.composed, "bench-model")
    rate = matmul_rate(parts.device, parts.dtype)
    calls = len(contenders) * (len(numbers) * (rounds + 1) + 2)
    with tqdm(total=calls, desc="timing", unit="call", leave=False) as bar:
        timed = measure(contenders, prompts, numbers, parts.device, partial(_count, bar))
    rows = figures(contenders, timed, rate, truth)
    report = {
        "rows": rows,
        "matmul_rate": rate,
        "truth": truth is not None,
        "size": list(prompts[0].frame.shape[:2]),
        "settings": plain(settings.composed),
        "model": _describe(model),
        "versions": list_versions(),
        "machine": _machine(parts.device),
    }
    text = f"{markdown(rows, truth is not None)}\n\n{explain(report)}"
    (folder / "figures.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    (folder / "figures.md").write_text(text + "\n", encoding="utf-8")
    print(text)
    print(faint(f"\n{folder / 'figures.md'}, {folder / 'figures.json'}"))


def _model(settings: BenchModel, rows: int) -> ChronoEdit:
    """The engine to be timed."""
    if not settings.model.accepts("preset"):
        raise InvalidConfig(
            f"bench model times a ChronoEdit, not {settings.model.target}: "
            "take model=nano or one of the presets"
        )
    given = {"denoising_steps": settings.denoising_steps, "guidance": settings.guidance}
    changes = {name: value for name, value in given.items() if value is not None}
    if settings.shape is not None:
        return _shaped(settings, rows, changes)
    for name in _ELSEWHERE:
        if settings.stock and settings.model.values.get(name) is not None:
            raise InvalidConfig(
                f"the stock pipeline cannot share weights with {name}="
                f"{settings.model.values[name]}: give stock=false, or drop it"
            )
    model: ChronoEdit = settings.model.make(**changes)
    return model


def _shaped(settings: BenchModel, rows: int, changes: dict[str, Any]) -> ChronoEdit:
    """The engine with random weights, with the speed settings of `model`."""
    given = settings.model.values
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
        make_14b_shape(device, settings.frame_size or _FRAME_SIZE, together, shaping),
        replace(PRESETS["chronoedit-14b-turbo"].sampling, **changes),
        name="the shape of ChronoEdit-14B",
        batched_guidance=shaping.batched_guidance,
        micro_batch=together,
    )


def _prompts(
    settings: BenchModel, model: ChronoEdit
) -> tuple[list[EditPrompt], list[Trajectory] | None]:
    """What everyone is asked, and what truly came of it where the simulator can tell."""
    number, seed, size = settings.predictions, settings.seed, settings.frame_size
    if model.frame_size is not None and size is None:
        try:
            simulator, policy = settings.simulator.make(), settings.policy.make()
            return draw_drive(simulator, settings.prompter.make(), policy, number, seed)
        except MissingDependency as error:
            print(f"outcomes are not compared with the truth: {error}")
    frames = random_frames(number, size or model.frame_size or _FRAME_SIZE, seed)
    return [EditPrompt(frame, settings.text, seed + i) for i, frame in enumerate(frames)], None


def _try(model: ChronoEdit, prompts: list[EditPrompt]) -> None:
    """Finds frames and words that the model does not take, before anything is written."""
    frame = prompts[0].frame  # all are of one size
    model.reconstruct(frame, frame[None])
    with torch.inference_mode():
        for prompt in prompts:
            encode_text(model.components, prompt.text)


def _count(bar: Any) -> None:
    bar.update()


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
