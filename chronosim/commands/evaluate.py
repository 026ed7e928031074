"""Measures a world model against the simulator it imitates, on episodes it never saw.

At each moment the reference simulator takes the same action and several others from the same state.
Told are how near predicted outcomes come to the true ones (PSNR of the pooled squared error; over
all moments, and over the half at which most changes), each frame on the way to them, and how often
a prediction is nearer to its own true outcome than to those of the other actions: whether the model
follows the action. Then the model goes on alone, fed on its own frames, beside the simulator. All
of it beside copy-last-frame and, where the model has an autoencoder, beside what that makes of the
truth. The tables, a JSON with every figure, settings and versions, and pictures are kept.

Examples:
    chronosim evaluate
    chronosim evaluate simulator=pusht windows=100 rollouts=10 output=runs/pusht
    chronosim evaluate model.name=runs/train/mine/pipeline first_seed=5000000
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from chronosim.adapters.policies.random import RandomPolicy
from chronosim.adapters.simulators.reference import check_clock
from chronosim.commands.output import new_folder
from chronosim.commands.settings import make_part, whole_number, with_seed
from chronosim.errors import InvalidConfig, MissingDependency
from chronosim.evaluation import (
    Autoencoding,
    Drift,
    Moment,
    Reference,
    Scores,
    copy_frame,
    draw_moments,
    draw_recordings,
    predict,
    reconstruct,
    roll_out,
    score,
    score_rollouts,
)
from chronosim.evaluation.machine import describe_machine, list_versions
from chronosim.evaluation.pictures import draw_drift, moments_sheet
from chronosim.evaluation.report import Report
from chronosim.frames import write_frame
from chronosim.protocols import WorldModel
from chronosim.simulator import Simulator
from chronosim.types import Trajectory

__all__ = ["run"]

_DRAWN = 12  # moments in the picture
_LEAST = {
    "windows": 2,  # one half of them moves
    "rollouts": 2,  # the mean frame is that of the others
    "rollout_steps": 1,
    "others": 1,
    "workers": 1,
    "first_seed": 0,
    "seed": 0,
}


def run(config: DictConfig) -> None:
    """Runs the command.

    Raises:
        ChronosimError: A setting that cannot work, a missing simulator, or a model that fails.
    """
    numbers = {name: whole_number(config, name, least) for name, least in _LEAST.items()}
    apart, reference, model = _apart(config), _reference(config), make_part(config, "model")
    source = _check(reference)
    folder = new_folder(config, "evaluate")
    simulator, seed = Simulator(model, reference.prompter), numbers["seed"]

    moments = _draw_moments(reference, numbers, apart)
    began = time.perf_counter()
    predicted = list(_bar(predict(moments, simulator, seed=seed), "predicting", len(moments)))
    seconds = (time.perf_counter() - began) / len(moments)
    report = Report(
        source=source,
        first_seed=numbers["first_seed"],
        moments=len(moments),
        others=numbers["others"],
        apart=apart,
        left_out=reference.left_out,
        scores=_score(model, reference, moments, predicted),
        drift=_drift(reference, simulator, numbers),
        seconds=seconds,
    )
    print(f"\n{report.markdown()}\n")
    _save(folder, config, model, report)
    outcomes = [trajectory[-1] for trajectory in predicted[:_DRAWN]]
    write_frame(folder / "moments.png", moments_sheet(moments[:_DRAWN], outcomes))
    _draw(report.drift, folder / "rollouts.png")
    print(
        f"In {folder}: results.md and results.json, moments.png (observed | true | predicted | "
        "difference), rollouts.png"
    )


def _apart(config: DictConfig) -> float:
    apart: Any = config.apart
    if isinstance(apart, bool) or not isinstance(apart, int | float) or not 0 <= apart < math.inf:
        raise InvalidConfig(f"apart must be a number of grey levels, 0 or more, not {apart!r}")
    return float(apart)


def _reference(config: DictConfig) -> Reference:
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
        return RandomPolicy(make_part(config, "prompter"), seed or 0)
    return make_part(config if seed is None else with_seed(config, seed), name)


def _check(reference: Reference) -> str:
    """Makes every part once, so that what is wrong is one sentence here; gives the source."""
    simulator = reference.simulator()
    reference.policy(0)
    reference.alternatives(0)
    check_clock(simulator, reference.prompter)
    return simulator.source


def _draw_moments(reference: Reference, numbers: Mapping[str, int], apart: float) -> list[Moment]:
    moments = draw_moments(
        numbers["windows"],
        reference=reference,
        first_seed=numbers["first_seed"],
        others=numbers["others"],
        apart=apart,
        workers=numbers["workers"],
    )
    return list(_bar(moments, "simulating", numbers["windows"]))


def _drift(reference: Reference, simulator: Simulator, numbers: Mapping[str, int]) -> Drift:
    episodes, steps = numbers["rollouts"], numbers["rollout_steps"]
    recordings = draw_recordings(
        episodes,
        reference=reference,
        steps=steps,
        first_seed=numbers["first_seed"],
        workers=numbers["workers"],
    )
    true = list(_bar(recordings, "simulating", episodes, "episode"))
    imagined = roll_out(true, simulator, seed=numbers["seed"])
    return score_rollouts(true, list(_bar(imagined, "rolling out", steps, "step")))


def _score(
    model: WorldModel,
    reference: Reference,
    moments: Sequence[Moment],
    predicted: Sequence[Trajectory],
) -> Mapping[str, Scores]:
    """Scores the model, copy-last-frame, and what the model's autoencoder makes of the truth."""
    rows = {"model": predicted, "copy-last-frame": [copy_frame(moment) for moment in moments]}
    if isinstance(model, Autoencoding):
        pairs = _bar(zip(moments, predicted, strict=True), "reconstructing", len(moments))
        rows["oracle"] = [reconstruct(moment, model, len(p)) for moment, p in pairs]
    return {name: score(moments, row, reference.left_out) for name, row in rows.items()}


def _save(folder: Path, config: DictConfig, model: WorldModel, report: Report) -> None:
    identity = dict(model.identity)
    values = report.values() | {
        "settings": OmegaConf.to_container(config, resolve=True),
        "model": identity,
        "versions": list_versions(),
        "machine": describe_machine() | {"torch_threads": identity.get("threads")},
    }
    (folder / "results.json").write_text(json.dumps(values, indent=2, allow_nan=False) + "\n")
    (folder / "results.md").write_text(report.markdown() + "\n")


def _draw(drift: Drift, path: Path) -> None:
    try:
        draw_drift(drift, path)
    except MissingDependency as error:
        print(f"{path.name} is left out: {error}")


def _bar(values: Any, what: str, total: int, unit: str = "moment") -> Any:
    return tqdm(values, what, total, unit=unit)
