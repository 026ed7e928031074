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

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from chronosim.bench.timing import describe_machine, list_versions
from chronosim.cli.output import (
    alone,
    make_folder,
    new_folder,
    output_path,
    same_settings,
)
from chronosim.cli.terminal import faint
from chronosim.errors import InvalidConfig
from chronosim.evaluation.evaluate import REPORTED, Part, make_evidence, make_parts
from chronosim.evaluation.evidence import Evidence
from chronosim.evaluation.report.plots import check_plots
from chronosim.evaluation.report.report import Report, load_section, render, save_section

__all__ = ["run"]

_MACHINE = ("threads", "versions")  # of a model's identity: they shape no more than the last digits
_MAY_DIFFER = ("output", "parts", "workers")  # from one run on a folder to the next


def run(config: DictConfig) -> None:
    """Runs the command.

    Raises:
        ChronosimError: A setting that cannot work, a missing package, or a model that fails.
    """
    check_plots()
    parts = make_parts(config)
    evidence = make_evidence(config)
    folder = _folder(config)
    with alone(folder, "evaluate"):
        evidence.folder = folder
        _check_model(folder, evidence.simulator.model.identity)
        for name, part in parts.items():
            _finish(evidence, name, part)
        report = _report(config, evidence)
        _save(folder, report)
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


def _check_model(folder: Path, identity: Mapping[str, Any]) -> None:
    """Refuses to go on with a model that has changed behind the same settings."""
    shaping = {name: value for name, value in identity.items() if name not in _MACHINE}
    ours, path = json.loads(json.dumps(shaping)), folder / "model.json"
    if not path.is_file():
        path.write_text(json.dumps(ours, indent=2) + "\n", encoding="utf-8")
    elif json.loads(path.read_text(encoding="utf-8")) != ours:
        raise InvalidConfig(
            f"{folder} was made with other weights or settings of {ours['name']}: use another "
            "output="
        )


def _finish(evidence: Evidence, name: str, part: Part) -> None:
    """Computes a part, unless an earlier run has kept it."""
    kept = _kept(evidence)
    if load_section(kept, name) is None:
        save_section(kept, part(evidence))


def _kept(evidence: Evidence) -> Path:
    return evidence.folder / "parts"


def _report(config: DictConfig, evidence: Evidence) -> Report:
    """Everything that is known by now, also from earlier runs that were asked for other parts."""
    known = (load_section(_kept(evidence), name) for name in REPORTED)
    sections = tuple(section for section in known if section is not None)
    source, identity = evidence.source, dict(evidence.simulator.model.identity)
    settings = OmegaConf.to_container(config, resolve=True)
    assert isinstance(settings, dict)
    return Report(
        model=str(identity["name"]),
        tested=source.tested,
        sections=sections,
        settings={str(name): value for name, value in settings.items()},
        identity=identity,
        versions=list_versions(),
        machine=describe_machine() | {"torch_threads": identity.get("threads")},
        made=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    )


def _save(folder: Path, report: Report) -> None:
    values = json.dumps(report.values(), indent=2, allow_nan=False)
    (folder / "results.json").write_text(values + "\n", encoding="utf-8")
    (folder / "results.md").write_text(report.markdown() + "\n", encoding="utf-8")
    (folder / "report.html").write_text(render(report), encoding="utf-8")
