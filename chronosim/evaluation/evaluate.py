"""The parts of an evaluation, and what all of them judge by."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from chronosim.cli.output import dataset_at, place
from chronosim.episodes import list_episodes
from chronosim.errors import InvalidConfig
from chronosim.evaluation import evaluate as parts
from chronosim.evaluation.defects import defects_section, find_defects
from chronosim.evaluation.diagnosis.diagnose import diagnose
from chronosim.evaluation.diagnosis.rankings import move_ranking, moved_section
from chronosim.evaluation.evidence import Evidence, Frames
from chronosim.evaluation.fidelity.horizon import horizon_section
from chronosim.evaluation.fidelity.sets import Networks
from chronosim.evaluation.following import following, following_recorded
from chronosim.evaluation.outcomes import Setting, outcomes_section
from chronosim.evaluation.predictions import (
    Autoencoding,
    copy_frame,
    reconstruct,
    see_through,
)
from chronosim.evaluation.ranking import Contest, Contestant, rank, read_contestants
from chronosim.evaluation.report.section import Section
from chronosim.evaluation.truth.reference import Policy, Reference
from chronosim.evaluation.truth.sources import AsLogged, Recorded, Simulated
from chronosim.metrics.distribution import load_i3d, load_inception
from chronosim.metrics.perceptual import load_alexnet
from chronosim.policies.basic import Random
from chronosim.protocols import Scenario
from chronosim.settings.compose import make_part, whole_number, with_seed
from chronosim.simulator import Simulator
from chronosim.simulators.reference import check_clock

__all__ = [
    "NAMES",
    "REPORTED",
    "Part",
    "contest",
    "defects",
    "diagnosis",
    "fidelity",
    "followed",
    "make_evidence",
    "make_parts",
    "make_reference",
    "moved",
    "outcomes",
    "ranked",
]

# Seeds of the reference simulator, away from those of moments and episodes, and from each other.
_PROBE_SEEDS, _RANKING_SEEDS = 500_000, 600_000
_DIAGNOSED = 16  # episodes at most: each experiment rolls all of them out once more


def outcomes(evidence: Evidence) -> Section:
    """One held action at a time: how near to the truth."""
    moments, model = evidence.moments, evidence.simulator.model
    ways = {"model": evidence.predicted, "copy-last-frame": [copy_frame(m) for m in moments]}
    if isinstance(model, Autoencoding):
        pairs = zip(moments, evidence.predicted, strict=True)
        ways["oracle"] = [reconstruct(moment, model, len(p)) for moment, p in pairs]
    return outcomes_section(moments, ways, evidence.source.setting, seconds=evidence.seconds)


def fidelity(evidence: Evidence, networks: Networks | None = None) -> Section:
    """Many actions: how near to the truth after each step, fed on its own frames and not."""
    return horizon_section(
        evidence.recordings, evidence.imagined, evidence.taught, networks, _shown(evidence)
    )


def _shown(evidence: Evidence) -> list[Frames]:
    """After each step, the true frame of each episode through the model's autoencoder."""
    model, recordings = evidence.simulator.model, evidence.recordings
    if not isinstance(model, Autoencoding):
        return []
    times = range(1, len(recordings[0].observations))
    return [
        np.stack(
            [
                see_through(model, seen[time - 1].frame, seen[time].frame)
                for seen in (recording.observations for recording in recordings)
            ]
        )
        for time in tqdm(times, "the truth autoencoded", unit="step")
    ]


def defects(evidence: Evidence) -> Section:
    """Defects that have a name."""
    findings = find_defects(
        evidence.simulator, evidence.moments, evidence.predicted, seed=evidence.seed
    )
    return defects_section(findings)


def followed(evidence: Evidence, idle: Policy | None, names: Sequence[str] = ()) -> Section:
    """Does the action decide what is predicted?"""
    source, simulator, seed = evidence.source, evidence.quick, evidence.seed
    if not isinstance(source, Simulated):
        return following_recorded(
            evidence.recordings, simulator=simulator, idle=None, names=names, seed=seed
        )
    assert idle is not None  # the command has asked for it
    return following(
        evidence.moments,
        simulator=simulator,
        idle=idle,
        reference=source.reference,
        folder=evidence.folder / "following",
        first_seed=(source.setting.first_seed or 0) + _PROBE_SEEDS,
        names=names,
        workers=source.workers,
        seed=seed,
    )


def contest(
    evidence: Evidence,
    contestants: Sequence[Contestant],
    scorer: Scenario,
    *,
    starts: int,
    horizon: int,
    lead_in: Policy | None,
    longest: int,
) -> Contest:
    """Who is ranked, in the simulator that the truth comes from."""
    source = evidence.source
    assert isinstance(source, Simulated)  # the command has asked for it
    return Contest(
        contestants,
        reference=source.reference,
        scenario=scorer,
        folder=evidence.folder / "ranking",
        first_seed=(source.setting.first_seed or 0) + _RANKING_SEEDS,
        starts=starts,
        horizon=horizon,
        lead_in=lead_in,
        longest=longest,
        workers=source.workers,
    )


def ranked(evidence: Evidence, contest: Callable[[Evidence], Contest]) -> Section:
    """Are policies ranked as in the reference simulator?"""
    return rank(contest(evidence), evidence.quick, seed=evidence.seed)


def moved(evidence: Evidence, contest: Callable[[Evidence], Contest]) -> Section:
    """What moves the ranking, by experiment."""
    held = contest(evidence)
    return moved_section(move_ranking(held, evidence.quick, seed=evidence.seed), held)


def diagnosis(evidence: Evidence) -> Section:
    """What limits the model, by experiment."""
    count = min(_DIAGNOSED, len(evidence.recordings))
    steps = len(evidence.recordings[0].actions)

    def progress(frames: Iterable[Any], name: str) -> Iterable[Any]:
        bar: Iterable[Any] = tqdm(frames, f"experiment: {name}", steps, unit="step")
        return bar

    return diagnose(
        evidence.recordings[:count],
        evidence.quick,
        [frames[:count] for frames in evidence.imagined],
        [frames[:count] for frames in evidence.taught],
        seed=evidence.seed,
        progress=progress,
    )


Part = Callable[[Evidence], Section]
"""Makes a section of the evidence."""

NAMES = ("outcomes", "fidelity", "following", "ranking", "defects", "diagnosis")
"""All parts that can be asked for, in the order of the report."""

REPORTED = (*NAMES, "moved")
"""All sections of a report, in its order; what moves the ranking follows from two parts."""

_DEFAULT = ("outcomes", "fidelity", "following", "defects")  # those that take minutes


def make_parts(config: DictConfig) -> dict[str, Part]:
    """Makes the parts that the settings ask for, in the order of the report.

    Raises:
        InvalidConfig: There is no such part.
        ModelNotFound: A network's file is missing.
    """
    makers: Mapping[str, Callable[[DictConfig], Part]] = {
        "outcomes": lambda config: parts.outcomes,
        "fidelity": _fidelity,
        "following": _following,
        "ranking": _ranking,
        "defects": lambda config: parts.defects,
        "diagnosis": lambda config: parts.diagnosis,
        "moved": lambda config: partial(parts.moved, contest=_contest(config)),
    }
    names = _names(config)
    if {"ranking", "diagnosis"} <= set(names):
        names = (*names, "moved")
    return {name: makers[name](config) for name in names}


def _names(config: DictConfig) -> tuple[str, ...]:
    """The parts asked for, in the order of the report."""
    given: Any = config.parts
    names = OmegaConf.to_container(given) if OmegaConf.is_list(given) else given
    if names is None or names == "all":
        possible = NAMES if names == "all" else _DEFAULT
        return tuple(name for name in possible if _lack(config, name) is None)
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not names:
        raise InvalidConfig(f"parts must name some of {', '.join(NAMES)}, or all, not {given!r}")
    for name in names:
        if name not in NAMES:
            raise InvalidConfig(f"there is no part {name!r}; there are: {', '.join(NAMES)}, or all")
        if (lack := _lack(config, name)) is not None:
            raise InvalidConfig(f"the part {name} {lack}")
    return tuple(name for name in NAMES if name in names)


def _lack(config: DictConfig, name: str) -> str | None:
    """What keeps a part from being made; None: nothing."""
    recorded = config.episodes is not None
    if name == "ranking" and recorded:
        return "needs a reference simulator, in which policies act: leave episodes= out"
    if name == "ranking" and (config.scorer is None or not config.get("contestants")):
        return "needs a scorer and contestants: see scenarios/conf/judging and contestants"
    if name == "following" and not recorded and config.idle is None:
        return "needs idle, a policy that does nothing: see scenarios/conf/judging"
    return None


def _fidelity(config: DictConfig) -> Part:
    networks = Networks(
        lpips=None if config.lpips is None else load_alexnet(config.lpips),
        fid=None if config.fid is None else load_inception(config.fid),
        fvd=None if config.fvd is None else load_i3d(config.fvd),
    )
    return partial(parts.fidelity, networks=networks)


def _following(config: DictConfig) -> Part:
    idle = None if config.idle is None or config.episodes is not None else make_part(config, "idle")
    return partial(parts.followed, idle=idle, names=[str(name) for name in config.numbers])


def _ranking(config: DictConfig) -> Part:
    return partial(parts.ranked, contest=_contest(config))


def _contest(config: DictConfig) -> Callable[[Evidence], Contest]:
    settings: Any = OmegaConf.to_container(config.contestants, resolve=False)
    prompter = OmegaConf.to_container(config.prompter, resolve=True)
    return partial(
        parts.contest,
        contestants=read_contestants(settings, prompter),
        scorer=make_part(config, "scorer"),
        starts=whole_number(config, "starts", 2),
        horizon=whole_number(config, "horizon", 1),
        lead_in=None if config.lead_in is None else make_part(config, "lead_in"),
        longest=whole_number(config, "lead_steps", 0),
    )


_LEAST = {
    "windows": 2,  # one half of them moves
    "rollouts": 2,  # the mean frame is that of the others
    "rollout_steps": 1,
    "others": 1,
    "workers": 1,
    "first_seed": 0,
    "seed": 0,
}


def make_evidence(config: DictConfig) -> Evidence:
    """Makes the model and the source of truth; nothing is computed yet, and no folder made.

    Raises:
        ChronosimError: A setting that cannot work, a missing simulator, or a model that fails.
    """
    numbers = {name: whole_number(config, name, least) for name, least in _LEAST.items()}
    nowhere = Path()  # until the folder is made: after everything that can be refused
    if config.episodes is not None:
        dataset = dataset_at(place(config.episodes))
        recorded = Recorded(
            str(config.episodes),
            list_episodes(dataset),
            windows=numbers["windows"],
            rollouts=numbers["rollouts"],
            steps=numbers["rollout_steps"],
        )
        model = Simulator(make_part(config, "model"), AsLogged())
        return Evidence(nowhere, model, recorded, seed=numbers["seed"])
    apart, reference, model_ = _apart(config), make_reference(config), make_part(config, "model")
    setting = Setting(
        _check(reference), numbers["first_seed"], numbers["others"], apart, reference.left_out
    )
    simulated = Simulated(
        reference,
        setting,
        numbers["windows"],
        numbers["rollouts"],
        numbers["rollout_steps"],
        numbers["workers"],
    )
    simulator = Simulator(model_, reference.prompter)
    return Evidence(nowhere, simulator, simulated, seed=numbers["seed"])


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
    return make_part(config if seed is None else with_seed(config, seed), name)


def _apart(config: DictConfig) -> float:
    apart: Any = config.apart
    if isinstance(apart, bool) or not isinstance(apart, int | float) or not 0 <= apart < math.inf:
        raise InvalidConfig(f"apart must be a number of grey levels, 0 or more, not {apart!r}")
    return float(apart)


def _check(reference: Reference) -> str:
    """Makes every part once, so that what is wrong is one sentence here; gives the source."""
    simulator = reference.simulator()
    reference.policy(0)
    reference.alternatives(0)
    check_clock(simulator, reference.prompter)
    return simulator.source
