"""The parts of an evaluation: each makes one section of the evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from chronosim.evaluation.diagnosis.diagnose import diagnose
from chronosim.evaluation.diagnosis.rankings import move_ranking, moved_section
from chronosim.evaluation.evidence import Evidence, Frames
from chronosim.evaluation.fidelity.horizon import horizon_section
from chronosim.evaluation.fidelity.sets import Networks
from chronosim.evaluation.following import following, following_recorded
from chronosim.evaluation.outcomes.defects import defects_section, find_defects
from chronosim.evaluation.outcomes.outcomes import outcomes_section
from chronosim.evaluation.outcomes.predictions import (
    Autoencoding,
    copy_frame,
    reconstruct,
    see_through,
)
from chronosim.evaluation.ranking import Contest, Contestant, rank
from chronosim.evaluation.reporting.section import Section
from chronosim.evaluation.truth.reference import Policy
from chronosim.evaluation.truth.sources import Simulated
from chronosim.protocols import Scenario

__all__ = ["contest", "defects", "diagnosis", "fidelity", "followed", "moved", "outcomes", "ranked"]

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
