"""Grades edits: frames before and after, and the words between them, in the figures of the papers.

A folder holds NAME.before.png, NAME.txt and NAME.after.png for each edit; or a CSV lists them in
the columns before, prompt and after. PSNR, SSIM and sharpness need nothing. CLIP-I and CLIP-T need
a CLIP by name or folder, LPIPS torchvision's AlexNet by path; what is not given is left out. A
vision-language model behind any OpenAI-compatible endpoint gives marks from 1 to 5 on PBench-Edit's
three axes: whether what was asked for was done, whether all else stayed itself, whether the outcome
looks real. Every edit's grades are kept as they come: a run that was broken off goes on, and what
has changed by then is graded anew.

Examples:
    chronosim judge edits/
    chronosim judge edits.csv clip=openai/clip-vit-large-patch14 lpips=alexnet-owt-7be5be79.pth
    chronosim judge edits/ judge.url=http://localhost:8000/v1 judge.model=Qwen/Qwen3-VL-8B-Instruct
"""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from chronosim.cli.output import make_folder, new_folder, output_path, same_settings
from chronosim.cli.terminal import progress_bars
from chronosim.errors import InvalidConfig
from chronosim.evaluation.editing import Graders, find_edits, grade_edits
from chronosim.metrics.clip import load_clip
from chronosim.metrics.judge import Judge
from chronosim.metrics.perceptual import load_alexnet
from chronosim.settings.commands import Judge as Settings


def run(settings: Settings) -> None:
    """Runs the command.

    Raises:
        ChronosimError: Edits that are not whole, weights that are not to be had, or a judge that
            gives no marks.
    """
    edits, graders = find_edits(settings.path), _graders(settings)
    folder = _folder(settings.composed)
    with progress_bars() as progress:
        section = grade_edits(edits, graders, folder, progress=progress)
    print(f"\n{section.tables[0].markdown()}\n\nresults.md and results.json in {folder}")


def _graders(settings: Settings) -> Graders:
    """What was named."""
    asked, device = settings.judge, settings.device
    clip = lpips = judge = None
    if asked.url is not None:
        if asked.model is None:
            raise InvalidConfig("a judge at judge.url needs judge.model: the model's name there")
        judge = Judge(
            asked.url,
            asked.model,
            key_variable=asked.key_variable,
            timeout=asked.timeout,
            retries=asked.retries,
            options={"max_tokens": 512, "temperature": 0, "seed": settings.seed},
        )
    if settings.lpips is not None:
        lpips = load_alexnet(settings.lpips, device=device or "cpu")
    if settings.clip is not None:
        clip = load_clip(settings.clip, device=device)
    return Graders(clip=clip, lpips=lpips, judge=judge)


def _folder(config: DictConfig) -> Path:
    """A new folder, or that of a run to go on with."""
    if config.output is None:
        return new_folder(config, "judge")
    folder = output_path(config)
    same_settings(config, folder, ("output",))
    make_folder(config, folder)
    return folder
