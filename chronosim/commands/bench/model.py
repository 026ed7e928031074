"""Times a model's environment steps on this machine, beside diffusers' own pipeline.

Both have the same weights, number format, frames, words, noise and denoising steps, and take turns
in one run, so that whatever else the machine does hits both. Timed are the outcome alone (no
reasoning), and a preview: frames in between, ours by full reasoning and by reasoning that is
dropped early, the stock pipeline's by full reasoning, its only way to them. Nothing is remembered
from one call to the next. Beside it: the memory of a call; the transformer's arithmetic, counted in
a call of each, and its share, in the denoising loop, of what this machine does in one large product
of matrices; and how far predictions lie from the reference simulator's truth where there is one,
and from the stock pipeline's where both sample alike.

With ways=true the model is timed against itself instead: with a step cache, batched guidance, and
on a GPU compiled and with products in 8 bits, each with how far its answers are off the plain ones.
So shape=true14b does for three presets, on random weights of ChronoEdit-14B's shape: about five
minutes on an H100, by arithmetic; on a CPU the weights are those of a toy, and only the FLOPs are
the 14B's. Errors of random weights say little of trained ones: ways=true alone measures nano's.

Examples:
    chronosim bench model
    chronosim bench model shape=true14b
    chronosim bench model ways=true denoising_steps=20
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import torch
from tqdm import tqdm

from chronosim.bench.speed import bench_model, check_setup, compare_ways, make_shaped
from chronosim.bench.stock import draw_drive, random_frames
from chronosim.bench.table import explain, explain_ways, markdown, markdown_ways
from chronosim.cli.output import new_folder
from chronosim.cli.terminal import faint
from chronosim.errors import InvalidConfig, MissingDependency
from chronosim.files import write_text
from chronosim.models.engine.chronoedit import ChronoEdit
from chronosim.models.engine.sampling import Sampling
from chronosim.models.loading.architecture import CHRONOEDIT_14B
from chronosim.models.loading.presets import PRESETS
from chronosim.settings.commands import BenchModel
from chronosim.settings.typed import plain
from chronosim.types import EditPrompt, Trajectory

_FRAME_SIZE = (480, 832)  # where a model has none of its own
_TOY_SIZE = (48, 80)
_PRESETS = ("chronoedit-14b-turbo", "chronoedit-14b", "chronoedit-14b-think")
_ELSEWHERE = (
    "offload",
    "storage",
    "quantization",
    "parallel",
    "step_cache",
)  # not copied for the stock pipeline


def run(settings: BenchModel) -> None:
    """Runs the command.

    Raises:
        ChronosimError: A setting that cannot work, or a model that cannot be had.
    """
    most = max(1, *settings.num_envs)
    if most > settings.predictions:
        raise InvalidConfig(
            f"predictions must be at least the largest num_envs ({most}), not "
            f"{settings.predictions}: each environment has a frame of its own"
        )
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    model = _model(settings, most)
    if settings.shape is not None if settings.ways is None else settings.ways:
        _compare(settings, model)
        return
    prompts, truth = _prompts(settings, model)
    check_setup(model, prompts, settings.reasoning_steps)
    folder = new_folder(settings.composed, "bench-model")
    with tqdm(desc="timing", unit="call", leave=False) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        report = bench_model(
            model,
            prompts,
            truth,
            num_envs=settings.num_envs,
            reasoning_steps=settings.reasoning_steps,
            stock=settings.stock,
            progress=progress,
        )
    report["settings"] = plain(settings.composed)
    text = f"{markdown(report['rows'], truth is not None)}\n\n{explain(report)}"
    write_text(folder / "figures.json", json.dumps(report, indent=2) + "\n")
    write_text(folder / "figures.md", text + "\n")
    print(text)
    print(faint(f"\n{folder / 'figures.md'}, {folder / 'figures.json'}"))


def _compare(settings: BenchModel, model: ChronoEdit) -> None:
    """Times presets with and without each way to more speed."""
    for name in ("compiled", "fused", "attention", "batched_guidance", "step_cache"):
        if settings.model.values.get(name) not in (None, False):
            raise InvalidConfig(
                f"ways to more speed are tried one by one: drop model.{name}, or give ways=false"
            )
    shape = CHRONOEDIT_14B if settings.shape is not None else None
    toy = bool(model.components.variant.get("toy"))
    size = settings.frame_size or model.frame_size or _FRAME_SIZE
    number = settings.predictions if shape is None else 1
    drawn = settings.frame_size or _TOY_SIZE if toy else size
    if shape is None:
        prompts, _ = _prompts(settings, model)
        samplings = {model.name: model.sampling}
    else:
        frames = random_frames(number, drawn, settings.seed)
        prompts = [EditPrompt(frame, settings.text, settings.seed) for frame in frames]
        samplings = {name: _changed(PRESETS[name].sampling, settings) for name in _PRESETS}
    folder = new_folder(settings.composed, "bench-model")
    with tqdm(desc="timing", unit="row", leave=False) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        report = compare_ways(model, samplings, prompts, shape, size, progress)
    report["settings"] = plain(settings.composed)
    text = f"{markdown_ways(report['rows'])}\n\n{explain_ways(report)}"
    (folder / "figures.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    (folder / "figures.md").write_text(text + "\n", encoding="utf-8")
    print(text)
    print(faint(f"\n{folder / 'figures.md'}, {folder / 'figures.json'}"))


def _changed(sampling: Sampling, settings: BenchModel) -> Sampling:
    """A preset's settings with the user's; it reasons in no more steps than there are."""
    steps = settings.denoising_steps or sampling.denoising_steps
    reasoned = min(sampling.reasoned_steps, steps)
    return replace(sampling, reasoning_steps=reasoned, **_changes(settings))


def _changes(settings: BenchModel) -> dict[str, Any]:
    given = {"denoising_steps": settings.denoising_steps, "guidance": settings.guidance}
    return {name: value for name, value in given.items() if value is not None}


def _model(settings: BenchModel, rows: int) -> ChronoEdit:
    """The engine to be timed."""
    if not settings.model.accepts("preset"):
        raise InvalidConfig(
            f"bench model times a ChronoEdit, not {settings.model.target}: "
            "take model=nano or one of the presets"
        )
    changes = _changes(settings)
    if settings.shape is not None:
        size = settings.frame_size or _FRAME_SIZE
        return make_shaped(settings.model.values, size, rows, changes)
    for name in _ELSEWHERE:
        if settings.stock and settings.model.values.get(name) is not None:
            raise InvalidConfig(
                f"the stock pipeline cannot share weights with {name}="
                f"{settings.model.values[name]}: give stock=false, or drop it"
            )
    model: ChronoEdit = settings.model.make(**changes)
    return model


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
