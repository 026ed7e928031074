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

import torch
from tqdm import tqdm

from chronosim.bench.speed import bench_model, check_setup, make_shaped
from chronosim.bench.stock import draw_drive, random_frames
from chronosim.bench.table import explain, markdown
from chronosim.cli.output import new_folder
from chronosim.cli.terminal import faint
from chronosim.errors import InvalidConfig, MissingDependency
from chronosim.files import write_text
from chronosim.models.engine.chronoedit import ChronoEdit
from chronosim.settings.commands import BenchModel
from chronosim.settings.typed import plain
from chronosim.types import EditPrompt, Trajectory

_FRAME_SIZE = (480, 832)  # where a model has none of its own
_ELSEWHERE = ("offload", "storage", "quantization", "parallel")  # not copied for the stock pipeline


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
