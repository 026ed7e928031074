"""Times a model's environment steps on this machine, beside diffusers' own pipeline.

Both have the same weights, number format, frames, words, noise and denoising steps, and take turns
in one run, so that whatever else the machine does hits both. Timed are the outcome alone (no
reasoning), and a preview: frames in between, ours by full reasoning and by reasoning that is
dropped early, the stock pipeline's by full reasoning, its only way to them. Nothing is remembered
from one call to the next. Beside it: the memory at most, the transformer's arithmetic as a share of
what this machine does in one large product of matrices, and how far outcomes lie from the reference
simulator's truth where there is one, and from the stock pipeline's.

Examples:
    chronosim bench model
    chronosim bench model predictions=30 'num_envs=[1, 8]' threads=1
    chronosim bench model shape=true14b denoising_steps=8 guidance=1 +model.compiled=true
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from chronosim.commands.output import new_folder
from chronosim.commands.settings import make_part, whole_number
from chronosim.commands.terminal import faint
from chronosim.errors import InvalidConfig, MissingDependency
from chronosim.evaluation.drives import draw_drive, random_frames
from chronosim.evaluation.machine import describe_machine, list_versions
from chronosim.evaluation.speed import matmul_rate, measure
from chronosim.evaluation.speed_table import figures, markdown
from chronosim.evaluation.stock import pit
from chronosim.models.acceleration import accelerate
from chronosim.models.architecture import CHRONOEDIT_14B, read_architecture
from chronosim.models.chronoedit import ChronoEdit
from chronosim.models.cost import estimate_cost
from chronosim.models.places import find_device
from chronosim.models.presets import PRESETS
from chronosim.models.settings import ModelSettings
from chronosim.models.shape import make_14b_shape
from chronosim.types import EditPrompt, Trajectory

__all__ = ["run"]

_LOAD = "chronosim.models.loading.load"
_ELSEWHERE = ("offload", "storage", "quantization", "parallel")  # not copied for the stock pipeline


def run(config: DictConfig) -> None:
    """Runs the command.

    Raises:
        ChronosimError: A setting that cannot work, or a model that cannot be had.
    """
    numbers, rounds = _environments(config), whole_number(config, "predictions", 1)
    if max(numbers) > rounds:
        raise InvalidConfig(
            f"predictions must be at least the largest num_envs ({max(numbers)}), not {rounds}: "
            "each environment has a frame of its own"
        )
    if config.threads is not None:
        torch.set_num_threads(whole_number(config, "threads", 1))
    size = _size(config)
    model = _model(config, size or (480, 832), max(numbers))
    prompts, truth = _prompts(config, model, size, rounds)
    parts = model.components
    few = whole_number(config, "reasoning_steps", 1)
    contenders = pit(model, few, stock=bool(config.stock))
    folder = new_folder(config, "bench-model")
    rate = matmul_rate(parts.device, parts.dtype)
    calls = len(contenders) * (len(numbers) * (rounds + 1) + 1)
    with tqdm(total=calls, desc="timing", unit="call", leave=False) as bar:
        timed = measure(contenders, prompts, numbers, parts.device, partial(_count, bar))
    shape = CHRONOEDIT_14B
    if parts.folder is not None:
        shape = read_architecture(parts.folder, parts.checkpoint)
    height, width = prompts[0].frame.shape[:2]
    flops = [estimate_cost(shape, one.sampling, (height, width)).prediction for one in contenders]
    rows = figures(contenders, timed, flops, rate, truth)
    identity = dict(model.identity) if parts.folder is not None else {"weights": "random"}
    report = {
        "rows": rows,
        "matmul_rate": rate,
        "truth": truth is not None,
        "size": [height, width],
        "settings": OmegaConf.to_container(config, resolve=True),
        "model": identity | {"device": str(parts.device), "dtype": str(parts.dtype)},
        "versions": list_versions(),
        "machine": describe_machine() | {"torch_threads": torch.get_num_threads()},
    }
    text = f"{markdown(rows)}\n\n{_words(report)}"
    (folder / "figures.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    (folder / "figures.md").write_text(text + "\n", encoding="utf-8")
    print(text)
    print(faint(f"\n{folder / 'figures.md'}, {folder / 'figures.json'}"))


def _environments(config: DictConfig) -> list[int]:
    given = OmegaConf.to_container(config.num_envs) if OmegaConf.is_list(config.num_envs) else None
    if not given or not all(type(n) is int and n >= 1 for n in given):
        raise InvalidConfig(
            f"num_envs must be a list of whole numbers from 1 up, not {config.num_envs}"
        )
    return sorted({1, *(int(str(n)) for n in given)})


def _size(config: DictConfig) -> tuple[int, int] | None:
    if config.frame_size is None:
        return None
    try:
        height, width = (int(side) for side in config.frame_size)
    except (TypeError, ValueError) as error:
        raise InvalidConfig(
            f"frame_size must be [height, width] in pixels, not {config.frame_size}"
        ) from error
    return height, width


def _model(config: DictConfig, size: tuple[int, int], rows: int) -> ChronoEdit:
    """The engine to be timed; the shape's is made by hand, with the speed settings of `model`."""
    if config.stock:
        for name in _ELSEWHERE:
            if config.model.get(name) is not None:
                raise InvalidConfig(
                    f"the stock pipeline cannot share weights with {name}={config.model[name]}: "
                    "give stock=false, or drop it"
                )
    changes = {
        name: config[name] for name in ("denoising_steps", "guidance") if config[name] is not None
    }
    if config.shape is None:
        if config.model.get("_target_") != _LOAD:
            raise InvalidConfig(
                f"bench model times what {_LOAD} loads, not {config.model.get('_target_')}: "
                "take model=nano or one of the presets"
            )
        model: ChronoEdit = make_part(config, "model", **changes)
        return model
    if config.shape != "true14b":
        raise InvalidConfig(f"shape must be true14b or null, not {config.shape!r}")
    device = find_device(config.model.get("device"))
    names = ("compiled", "fused", "attention", "batched_guidance")
    settings = ModelSettings(**{n: config.model[n] for n in names if config.model.get(n)})
    parts = make_14b_shape(device, size)
    accelerate(parts.transformer, settings, device)
    return ChronoEdit(
        parts,
        replace(PRESETS["chronoedit-14b-turbo"].sampling, **changes),
        name="the shape of ChronoEdit-14B",
        batched_guidance=settings.batched_guidance,
        micro_batch=config.model.get("micro_batch") or rows,
    )


def _prompts(
    config: DictConfig, model: ChronoEdit, size: tuple[int, int] | None, number: int
) -> tuple[list[EditPrompt], list[Trajectory] | None]:
    """What everyone is asked, and what truly came of it where the simulator can tell."""
    seed = whole_number(config, "seed", 0)
    if model.frame_size is not None and size is None:
        try:
            simulator, policy = make_part(config, "simulator"), make_part(config, "policy")
            return draw_drive(simulator, make_part(config, "prompter"), policy, number, seed)
        except MissingDependency as error:
            print(f"outcomes are compared with one another, not with the truth: {error}")
    frames = random_frames(number, size or model.frame_size or (480, 832), seed)
    return [EditPrompt(frame, str(config.text), seed + i) for i, frame in enumerate(frames)], None


def _count(bar: Any) -> None:
    bar.update()


def _words(report: dict[str, Any]) -> str:
    machine, model, versions = report["machine"], report["model"], report["versions"]
    settings = report["settings"]
    used = ", ".join(f"{name} {versions[name]}" for name in ("torch", "diffusers", "transformers"))
    gpu = torch.cuda.get_device_name() if model["device"].startswith("cuda") else None
    against = "the truth" if report["truth"] else "the stock pipeline, for nobody knows the truth"
    return (
        f"{gpu or machine['processor']}, {machine['usable_cpus']} cores, "
        f"{machine['torch_threads']} threads; {used}; {model['dtype'].removeprefix('torch.')}, "
        f"{report['size'][0]} x {report['size'][1]}, {settings['predictions']} rounds. "
        f"One large product of matrices: {report['matmul_rate'] / 1e9:,.0f} GFLOP/s. "
        f"Times are medians (p50) of a call for one environment; PSNR to {against}; memory is "
        f"{'allocated on the GPU' if gpu else 'the whole process'}, at most."
    )
