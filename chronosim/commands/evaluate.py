"""Measures how far a world model can be believed, on episodes it never saw.

Everything is told beside what has to be beaten (copy-last-frame, guessing) and with its interval.
The parts: outcomes (one action: how near to the truth), fidelity (many actions, fed on its own
frames), following (does the action decide?), defects (broken models have names), ranking (are
policies ranked as in reality?) and diagnosis (what limits the model); the last two take long and
are asked for by parts=all. The truth comes from a reference simulator, or from episodes of your own
(episodes=PATH), where the parts that need to know what other actions lead to are left out.

The folder holds report.html (one page, nothing else needed), results.json with every figure,
settings, versions and hardware, results.md, and all episodes in Zarr. Broken off, the same command
with the same output goes on where it stopped.

Examples:
    chronosim evaluate
    chronosim evaluate simulator=pusht windows=100 rollouts=10 parts=all output=runs/pusht
    chronosim evaluate episodes=datasets/mine model.name=runs/train/mine/pipeline
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from chronosim.cli.output import (
    alone,
    dataset_at,
    make_folder,
    new_folder,
    output_path,
    place,
    same_settings,
)
from chronosim.cli.terminal import faint, progress_bars
from chronosim.episodes import list_episodes
from chronosim.errors import InvalidConfig
from chronosim.evaluation.fidelity import Networks
from chronosim.evaluation.ranking import Ranking, read_contestants
from chronosim.evaluation.report.plots import check_plots
from chronosim.evaluation.run import Judging, choose_sections, evaluate
from chronosim.evaluation.sources import Recorded, Simulated, Source
from chronosim.evaluation.truth import Reference
from chronosim.metrics.distribution import load_i3d, load_inception
from chronosim.metrics.perceptual import load_alexnet
from chronosim.policies import Random, act_alone
from chronosim.settings.commands import Evaluate
from chronosim.settings.typed import Part, plain

_MAY_DIFFER = ("output", "parts", "workers")  # from one run on a folder to the next


def run(settings: Evaluate) -> None:
    """Runs the command.

    Raises:
        ChronosimError: A setting that cannot work, a missing package, or a model that fails.
    """
    check_plots()
    sections = asked_for(settings)
    judging = make_judging(settings, sections)
    source, model = _source(settings), settings.model.make()
    folder = _folder(settings)
    with alone(folder, "evaluate"), progress_bars() as progress:
        report = evaluate(
            model,
            source,
            folder,
            sections=sections,
            judging=judging,
            seed=settings.seed,
            settings=plain(settings.composed),
            progress=progress,
        )
    print(f"\n{report.markdown()}\n")
    print(faint(f"{folder / 'report.html'}, results.json, results.md and episodes/ beside it"))


def _folder(settings: Evaluate) -> Path:
    """A new folder, or that of a run to go on with."""
    config = settings.composed
    if settings.output is None:
        return new_folder(config, "evaluate")
    folder = output_path(config)
    same_settings(config, folder, _MAY_DIFFER)
    make_folder(config, folder)
    return folder


def asked_for(settings: Evaluate) -> tuple[str, ...]:
    """The sections that `parts` asks for.

    Raises:
        InvalidConfig: There is no such section, or it lacks something.
    """
    return choose_sections(
        settings.parts,
        recorded=settings.episodes is not None,
        idle=settings.idle is not None,
        ranking=settings.scorer is not None and bool(settings.composed.get("contestants")),
    )


def make_judging(settings: Evaluate, sections: Sequence[str]) -> Judging:
    """Makes what those sections judge by.

    Raises:
        ChronosimError: A part that cannot be made, or a network's file that is missing.
    """
    networks, follows = Networks(), "following" in sections and settings.episodes is None
    if "fidelity" in sections:
        networks = Networks(
            lpips=None if settings.lpips is None else load_alexnet(settings.lpips),
            fid=None if settings.fid is None else load_inception(settings.fid),
            fvd=None if settings.fvd is None else load_i3d(settings.fvd),
        )
    return Judging(
        idle=settings.idle.make() if settings.idle is not None and follows else None,
        numbers=settings.numbers,
        networks=networks,
        ranking=_ranking(settings) if "ranking" in sections else None,
        reader=None if settings.reader is None else settings.reader.make(),
    )


def _ranking(settings: Evaluate) -> Ranking:
    prompter = settings.composed.get("prompter")
    contestants: Any = OmegaConf.to_container(settings.composed.contestants, resolve=False)
    assert settings.scorer is not None  # the section was refused else
    return Ranking(
        contestants=read_contestants(contestants, prompter and plain(prompter)),
        scorer=settings.scorer.make(),
        starts=settings.starts,
        horizon=settings.horizon,
        lead_in=None if settings.lead_in is None else settings.lead_in.make(),
        lead_steps=settings.lead_steps,
    )


def _source(settings: Evaluate) -> Source:
    counts = {name: getattr(settings, name) for name in ("windows", "rollouts", "rollout_steps")}
    if settings.episodes is not None:
        dataset = dataset_at(place(settings.episodes))
        return Recorded(settings.episodes, list_episodes(dataset), **counts)
    more = {name: getattr(settings, name) for name in ("first_seed", "others", "workers")}
    return Simulated(make_reference(settings), **counts, **more, apart=settings.apart)


def make_reference(settings: Evaluate) -> Reference:
    """Makes the reference simulator's parts, to be drawn from by several processes.

    Raises:
        ChronosimError: One cannot be made.
    """
    if settings.prompter is None or settings.policy is None:
        raise InvalidConfig(
            "a simulator to evaluate against comes with a prompter and a policy: name them with "
            "prompter= and policy=, or as defaults in its YAML"
        )
    # Worker processes get the settings as text: a part that follows the seed must not be made yet.
    make = partial(_make, OmegaConf.to_yaml(settings.composed))
    return Reference(
        simulator=partial(make, "simulator"),
        prompter=settings.prompter.make(),
        policy=partial(make, "policy"),
        alternatives=partial(make, "alternatives"),
        left_out=None if settings.left_out is None else settings.left_out.make(),
    )


def _make(text: str, name: str, seed: int | None = None) -> Any:
    """Makes a part, with a seed of its own if it has one."""
    config = DictConfig(OmegaConf.create(text))
    if name == "alternatives" and config.alternatives is None:
        return Random(Part("prompter", config).make(), seed or 0)
    part = Part(name, config)
    made = (part if seed is None else part.seeded(seed)).make()
    return made if name == "simulator" or callable(made) else act_alone(made, seed or 0)
