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
from chronosim.settings.compose import make_part, whole_number, with_seed

__all__ = ["run"]

_MAY_DIFFER = ("output", "parts", "workers")  # from one run on a folder to the next


def run(config: DictConfig) -> None:
    """Runs the command.

    Raises:
        ChronosimError: A setting that cannot work, a missing package, or a model that fails.
    """
    check_plots()
    sections = asked_for(config)
    judging = make_judging(config, sections)
    source, model = _source(config), make_part(config, "model")
    seed, settings = whole_number(config, "seed", 0), OmegaConf.to_container(config, resolve=True)
    assert isinstance(settings, dict)
    folder = _folder(config)
    with alone(folder, "evaluate"), progress_bars() as progress:
        report = evaluate(
            model,
            source,
            folder,
            sections=sections,
            judging=judging,
            seed=seed,
            settings={str(name): value for name, value in settings.items()},
            progress=progress,
        )
    print(f"\n{report.markdown()}\n")
    print(faint(f"{folder / 'report.html'}, results.json, results.md and episodes/ beside it"))


def _folder(config: DictConfig) -> Path:
    """A new folder, or that of a run to go on with."""
    if config.output is None:
        return new_folder(config, "evaluate")
    folder = output_path(config)
    same_settings(config, folder, _MAY_DIFFER)
    make_folder(config, folder)
    return folder


def asked_for(config: DictConfig) -> tuple[str, ...]:
    """The sections that `parts` asks for.

    Raises:
        InvalidConfig: There is no such section, or it lacks something.
    """
    given: Any = config.parts
    return choose_sections(
        OmegaConf.to_container(given) if OmegaConf.is_list(given) else given,
        recorded=config.episodes is not None,
        idle=config.idle is not None,
        ranking=config.scorer is not None and bool(config.get("contestants")),
    )


def make_judging(config: DictConfig, sections: Sequence[str]) -> Judging:
    """Makes what those sections judge by.

    Raises:
        ChronosimError: A part that cannot be made, or a network's file that is missing.
    """
    networks = Networks()
    if "fidelity" in sections:
        networks = Networks(
            lpips=None if config.lpips is None else load_alexnet(config.lpips),
            fid=None if config.fid is None else load_inception(config.fid),
            fvd=None if config.fvd is None else load_i3d(config.fvd),
        )
    follows = "following" in sections and config.episodes is None
    return Judging(
        idle=make_part(config, "idle") if follows else None,
        numbers=[str(name) for name in config.numbers],
        networks=networks,
        ranking=_ranking(config) if "ranking" in sections else None,
    )


def _ranking(config: DictConfig) -> Ranking:
    settings: Any = OmegaConf.to_container(config.contestants, resolve=False)
    return Ranking(
        contestants=read_contestants(
            settings, OmegaConf.to_container(config.prompter, resolve=True)
        ),
        scorer=make_part(config, "scorer"),
        starts=whole_number(config, "starts", 2),
        horizon=whole_number(config, "horizon", 1),
        lead_in=None if config.lead_in is None else make_part(config, "lead_in"),
        lead_steps=whole_number(config, "lead_steps", 0),
    )


def _source(config: DictConfig) -> Source:
    counts: Any = {name: config[name] for name in ("windows", "rollouts", "rollout_steps")}
    if config.episodes is not None:
        dataset = dataset_at(place(config.episodes))
        return Recorded(str(config.episodes), list_episodes(dataset), **counts)
    counts |= {name: config[name] for name in ("first_seed", "others", "workers")}
    return Simulated(make_reference(config), **counts, apart=_apart(config))


def _apart(config: DictConfig) -> float:
    apart: Any = config.apart
    if isinstance(apart, bool) or not isinstance(apart, int | float):
        raise InvalidConfig(f"apart must be a number of grey levels, 0 or more, not {apart!r}")
    return float(apart)


def make_reference(config: DictConfig) -> Reference:
    """Makes the reference simulator's parts, to be drawn from by several processes.

    Raises:
        ChronosimError: One cannot be made.
    """
    # Worker processes get the settings as text: a part that follows the seed must not be made yet.
    make = partial(_make, OmegaConf.to_yaml(config))
    return Reference(
        simulator=partial(make, "simulator"),
        prompter=make_part(config, "prompter"),
        policy=partial(make, "policy"),
        alternatives=partial(make, "alternatives"),
        left_out=make_part(config, "left_out"),
    )


def _make(settings: str, name: str, seed: int | None = None) -> Any:
    """Makes a part, with a seed of its own if it has one."""
    config = DictConfig(OmegaConf.create(settings))
    if name == "alternatives" and config.alternatives is None:
        return Random(make_part(config, "prompter"), seed or 0)
    made = make_part(config if seed is None else with_seed(config, seed), name)
    return made if name == "simulator" or callable(made) else act_alone(made, seed or 0)
