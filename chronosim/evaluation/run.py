"""Evaluates a world model: every section that is asked for, and one report of all of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from chronosim.bench.timing import describe_machine, list_versions
from chronosim.errors import InvalidConfig, InvalidFrame
from chronosim.evaluation.comparison import Comparison
from chronosim.evaluation.defects import defects_section, find_defects
from chronosim.evaluation.diagnosis import diagnose
from chronosim.evaluation.fidelity import Networks, horizon_section
from chronosim.evaluation.following import following, following_recorded
from chronosim.evaluation.outcomes import outcomes_section
from chronosim.evaluation.predictions import Autoencoding, copy_frame, reconstruct, see_through
from chronosim.evaluation.ranking import Contest, Ranking, rank
from chronosim.evaluation.ranking.moved import move_ranking, moved_section
from chronosim.evaluation.report.plots import check_plots
from chronosim.evaluation.report.report import Report, load_section, save_section
from chronosim.evaluation.report.section import Section
from chronosim.evaluation.sources import Simulated, Source
from chronosim.evaluation.terms import Reader, hold_trials
from chronosim.evaluation.truth import Act
from chronosim.files import write_text
from chronosim.progress import Progress, listening, watch
from chronosim.protocols import WorldModel
from chronosim.types import Frames
from chronosim.world import World

SECTIONS = ("outcomes", "fidelity", "following", "ranking", "defects", "diagnosis")
"""All sections that can be asked for, in the order of the report."""

REPORTED = (*SECTIONS, "moved")
"""All sections of a report, in its order; what moves the ranking follows from two others."""

_QUICK = ("outcomes", "fidelity", "following", "defects")  # those that take minutes
# Seeds of the reference simulator, away from those of moments and episodes, and from each other.
_PROBE_SEEDS, _RANKING_SEEDS = 500_000, 600_000
_DIAGNOSED = 16  # episodes at most: each experiment rolls all of them out once more
_MACHINE = ("threads", "versions")  # of a model's identity: they shape no more than the last digits


@dataclass(frozen=True, slots=True, eq=False)
class Judging:
    """What a world is judged by, beside the truth.

    Attributes:
        idle: A policy that does nothing; None: nobody knows what that is.
        numbers: What the numbers of an action are called; none: they are numbered.
        networks: For LPIPS, FID and FVD.
        ranking: Who is ranked, and by what; None: nobody.
        reader: Tells of frames in the world's own terms; None: nobody can.
    """

    idle: Act | None = None
    numbers: Sequence[str] = ()
    networks: Networks = field(default_factory=Networks)
    ranking: Ranking | None = None
    reader: Reader | None = None


def evaluate(
    model: WorldModel,
    source: Source,
    folder: str | Path,
    *,
    sections: str | Sequence[str] | None = None,
    judging: Judging | None = None,
    seed: int = 0,
    settings: Mapping[str, Any] = MappingProxyType({}),
    progress: Progress | None = None,
) -> Report:
    """Measures how far a world model can be believed.

    What is finished is kept in the folder: the same call goes on where it was broken off, and
    sections of earlier calls are in the report as well.

    Args:
        model: The world model.
        source: Where the truth comes from: `Simulated` or `Recorded`.
        folder: Gets report.html, results.json, results.md and all episodes in Zarr.
        sections: Some of `SECTIONS`; "all": all that can be had; None: those that take minutes.
        judging: What else the world is judged by; None: nothing.
        seed: Of the model's noise; moment i has seed + i.
        settings: What the report tells as its settings, as JSON values.
        progress: Called with what is being done, how many of it are done, and of how many.

    Returns:
        The report, as it is in the folder.

    Raises:
        InvalidConfig: A section lacks something, or the folder holds another model's evaluation.
        MissingDependency: matplotlib is not installed.
        ChronosimError: As the source and the model.
    """
    check_plots()
    judging, folder = judging or Judging(), Path(folder)
    names = choose_sections(
        sections,
        recorded=not isinstance(source, Simulated),
        idle=judging.idle is not None,
        ranking=judging.ranking is not None,
    )
    comparison = Comparison(folder, World(model, source.prompter), source, seed=seed)
    folder.mkdir(parents=True, exist_ok=True)
    _check_same(folder, comparison)
    with listening(progress):
        for name in names:
            if load_section(_finished(folder), name) is None:
                save_section(_finished(folder), make_section(name, comparison, judging))
    report = _report(comparison, settings)
    report.save(folder)
    return report


def choose_sections(given: Any, *, recorded: bool, idle: bool, ranking: bool) -> tuple[str, ...]:
    """Gives the sections asked for, in the order of the report.

    Args:
        given: A name, names, "all" for all that can be had, or None for those that take minutes.
        recorded: Whether the truth is recorded episodes, not a simulator.
        idle: Whether it is known what doing nothing is.
        ranking: Whether there are policies to be ranked, and a score.

    Raises:
        InvalidConfig: There is no such section, or it lacks something.
    """
    lacks = {}
    if recorded:
        lacks["ranking"] = "needs a reference simulator, in which policies act: leave episodes= out"
    elif not ranking:
        lacks["ranking"] = (
            "needs a scorer and contestants: see scenarios/conf/judging and contestants"
        )
    if not recorded and not idle:
        lacks["following"] = "needs idle, a policy that does nothing: see scenarios/conf/judging"
    names = [given] if isinstance(given, str) else given
    if names is None or names == ["all"]:
        names = [name for name in (SECTIONS if names else _QUICK) if name not in lacks]
    if not isinstance(names, list | tuple) or not names:
        raise InvalidConfig(f"parts must name some of {', '.join(SECTIONS)}, or all, not {given!r}")
    follows = ("moved",) if {"ranking", "diagnosis"} <= set(names) else ()
    for name in names:
        if name not in (*SECTIONS, *follows):
            known = ", ".join(SECTIONS)
            raise InvalidConfig(f"there is no part {name!r}; there are: {known}, or all")
        if name in lacks:
            raise InvalidConfig(f"the part {name} {lacks[name]}")
    return (*(name for name in SECTIONS if name in names), *follows)


def _check_same(folder: Path, comparison: Comparison) -> None:
    """Refuses to go on with another model or another truth."""
    identity = comparison.world.model.identity
    shaping = {name: value for name, value in identity.items() if name not in _MACHINE}
    truth = {
        "tested": comparison.source.tested,
        "setting": asdict(comparison.source.setting),
        "seed": comparison.seed,
    }
    for name, ours, what in (
        ("model.json", shaping, f"weights or settings of {identity['name']}"),
        ("truth.json", truth, "moments and episodes of the truth, or another seed"),
    ):
        path, plain = folder / name, json.loads(json.dumps(ours))
        if not path.is_file():
            write_text(path, json.dumps(plain, indent=2) + "\n")
        elif json.loads(path.read_text(encoding="utf-8")) != plain:
            raise InvalidConfig(f"{folder} was made with other {what}: use another output=")


def _finished(folder: Path) -> Path:
    return folder / "parts"


def _report(comparison: Comparison, settings: Mapping[str, Any]) -> Report:
    """Everything that is known by now, also from earlier runs for other sections."""
    known = (load_section(_finished(comparison.folder), name) for name in REPORTED)
    identity = dict(comparison.world.model.identity)
    return Report(
        model=str(identity["name"]),
        tested=comparison.source.tested,
        sections=tuple(section for section in known if section is not None),
        settings=settings,
        identity=identity,
        versions=list_versions(),
        machine=describe_machine() | {"torch_threads": identity.get("threads")},
        made=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    )


def make_section(name: str, comparison: Comparison, judging: Judging | None = None) -> Section:
    """Makes one of the sections in `REPORTED`.

    Args:
        name: Which.
        comparison: Truth, and what the model makes of it.
        judging: What else the world is judged by; `choose_sections` tells what a section lacks.

    Raises:
        ChronosimError: As the source and the model.
    """
    return _MAKERS[name](comparison, judging or Judging())


def _outcomes(comparison: Comparison, judging: Judging) -> Section:
    """One held action at a time: how near to the truth."""
    moments, model = comparison.moments, comparison.world.model
    ways = {"model": comparison.predicted, "copy-last-frame": [copy_frame(m) for m in moments]}
    if isinstance(model, Autoencoding):
        pairs = zip(moments, comparison.predicted, strict=True)
        ways["oracle"] = [reconstruct(moment, model, len(p)) for moment, p in pairs]
    return outcomes_section(moments, ways, comparison.source.setting, seconds=comparison.seconds)


def _fidelity(comparison: Comparison, judging: Judging) -> Section:
    """Many actions: how near to the truth after each step, fed on its own frames and not."""
    return horizon_section(
        comparison.recordings,
        comparison.imagined,
        comparison.taught,
        judging.networks,
        _shown(comparison),
        reader=_reader(comparison, judging)[0],
    )


def _reader(comparison: Comparison, judging: Judging) -> tuple[Reader | None, tuple[str, ...]]:
    """Who tells of these frames in the world's own terms; None, and why: they are another's."""
    if judging.reader is not None:
        frame = comparison.recordings[0].observations[0].frame
        try:
            judging.reader.read(frame, frame)
        except InvalidFrame as error:
            return None, (f"nothing is told in the world's own terms: {error}",)
    return judging.reader, ()


def _shown(comparison: Comparison) -> list[Frames]:
    """After each step, the true frame of each episode through the model's autoencoder."""
    model, recordings = comparison.world.model, comparison.recordings
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
        for time in watch(times, "the truth autoencoded", len(times))
    ]


def _defects(comparison: Comparison, judging: Judging) -> Section:
    """Defects that have a name."""
    findings = find_defects(
        comparison.world, comparison.moments, comparison.predicted, seed=comparison.seed
    )
    reader, silent = _reader(comparison, judging)
    if reader is not None:
        tried, silent = hold_trials(
            reader, comparison.quick, comparison.moments, seed=comparison.seed
        )
        findings += tried
    return defects_section(findings, silent)


def _following(comparison: Comparison, judging: Judging) -> Section:
    """Does the action decide what is predicted?"""
    source, world, seed = comparison.source, comparison.quick, comparison.seed
    if not isinstance(source, Simulated):
        return following_recorded(
            comparison.recordings, world=world, idle=None, names=judging.numbers, seed=seed
        )
    assert judging.idle is not None  # the section was refused else
    return following(
        comparison.moments,
        world=world,
        idle=judging.idle,
        reference=source.reference,
        folder=comparison.folder / "following",
        first_seed=source.first_seed + _PROBE_SEEDS,
        names=judging.numbers,
        workers=source.workers,
        seed=seed,
    )


def _contest(comparison: Comparison, judging: Judging) -> Contest:
    """Who is ranked, in the simulator that the truth comes from."""
    source, ranking = comparison.source, judging.ranking
    assert isinstance(source, Simulated)  # the section was refused else
    assert ranking is not None
    seed = source.first_seed + _RANKING_SEEDS
    return Contest(ranking, source.reference, comparison.folder / "ranking", seed, source.workers)


def _ranking(comparison: Comparison, judging: Judging) -> Section:
    """Are policies ranked as in the reference simulator?"""
    return rank(_contest(comparison, judging), comparison.quick, seed=comparison.seed)


def _moved(comparison: Comparison, judging: Judging) -> Section:
    """What moves the ranking, by experiment."""
    contest = _contest(comparison, judging)
    return moved_section(move_ranking(contest, comparison.quick, seed=comparison.seed), contest)


def _diagnosis(comparison: Comparison, judging: Judging) -> Section:
    """What limits the model, by experiment."""
    count = min(_DIAGNOSED, len(comparison.recordings))
    return diagnose(
        comparison.recordings[:count],
        comparison.quick,
        [frames[:count] for frames in comparison.imagined],
        [frames[:count] for frames in comparison.taught],
        seed=comparison.seed,
    )


_MAKERS: Mapping[str, Callable[[Comparison, Judging], Section]] = {
    "outcomes": _outcomes,
    "fidelity": _fidelity,
    "following": _following,
    "ranking": _ranking,
    "defects": _defects,
    "diagnosis": _diagnosis,
    "moved": _moved,
}
