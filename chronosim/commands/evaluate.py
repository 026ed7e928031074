"""Measures a world model against CarRacing, on episodes it never saw.

At each moment the reference simulator takes the same action and several others from the same
state. Printed are how near the predicted outcome comes to the true one (PSNR of the pooled squared
error; over all moments, and over the half in which most changes), and how often it is nearer to its
own true outcome than to those of the other actions: whether the model follows the action. Always
beside copy-last-frame. The table, a JSON with settings and versions, and pictures are kept.

Examples:
    chronosim evaluate
    chronosim evaluate model=nano windows=200 first_seed=5000000
    chronosim evaluate model.name=runs/train/mine/pipeline windows=20 output=runs/mine
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from chronosim.adapters.simulators.carracing import CarRacingSimulator
from chronosim.commands.output import new_folder
from chronosim.commands.settings import make_part, whole_number, with_seed
from chronosim.evaluation import Moment, Scores, draw_moments, score_outcomes
from chronosim.frames import write_frame
from chronosim.protocols import WorldModel
from chronosim.types import EditPrompt, Frame

__all__ = ["run"]

_SHOWN = 12  # moments in the picture


def run(config: DictConfig) -> None:
    """Runs the command.

    Raises:
        ChronosimError: A setting that cannot work, or a model that fails.
    """
    hold, count = whole_number(config, "hold", 1), whole_number(config, "windows", 2)
    model = make_part(config, "model")
    moments = draw_moments(
        count,
        simulator=CarRacingSimulator(hold, stride=hold),
        prompter=make_part(config, "prompter"),
        policy=lambda seed: make_part(with_seed(config, seed), "policy"),
        first_seed=whole_number(config, "first_seed", 0),
        others=whole_number(config, "others", 1),
        apart=float(config.apart),
    )
    folder = new_folder(config, "evaluate")
    drawn = list(tqdm(moments, total=count, unit="moment", desc="simulating"))
    started = time.perf_counter()
    predicted = list(tqdm(_predict(model, drawn, config.seed), total=count, desc="predicting"))
    seconds = (time.perf_counter() - started) / count
    rows = {
        "model": score_outcomes(drawn, predicted),
        "copy-last-frame": score_outcomes(drawn, [m.observation.frame for m in drawn]),
    }
    _print(rows, seconds, float(config.apart))
    _save(folder, config, model, rows, seconds)
    write_frame(folder / "moments.png", _picture(drawn[:_SHOWN], predicted[:_SHOWN]))
    print(f"\nresults.json and moments.png (observed | true | predicted | difference): {folder}")


def _predict(model: WorldModel, moments: Sequence[Moment], seed: int) -> Any:
    for index, moment in enumerate(moments):
        prompt = EditPrompt(moment.observation.frame, moment.texts[0], seed + index)
        yield model.predict([prompt])[0].frame


def _print(rows: dict[str, Scores], seconds: float, apart: float) -> None:
    any_row = next(iter(rows.values()))
    print(
        f"\n{any_row.moments} moments; true outcomes at least {apart:g} grey levels apart; "
        f"guessing follows {any_row.chance:.0%}; {seconds:.2f} s a prediction\n"
    )
    print(f"{'':<17}{'PSNR':>7}{'moving half':>13}{'no dashboard':>14}{'follows action':>16}")
    for name, row in rows.items():
        interval = f"({row.following_low:.0%} to {row.following_high:.0%})"
        print(
            f"{name:<17}{row.psnr:>7.2f}{row.psnr_moving:>13.2f}{row.psnr_world:>14.2f}"
            f"{row.following:>8.0%} {interval}; no dashboard {row.following_world:.0%}"
        )


def _save(
    folder: Path,
    config: DictConfig,
    model: WorldModel,
    rows: dict[str, Scores],
    seconds: float,
) -> None:
    report = {
        "scores": {name: asdict(row) for name, row in rows.items()},
        "seconds_per_prediction": seconds,
        "settings": OmegaConf.to_container(config, resolve=True),
        "model": dict(model.identity),
        "versions": {name: version(name) for name in ("chronosim", "gymnasium", "numpy")},
        "machine": {"python": platform.python_version(), "processor": platform.machine()},
    }
    (folder / "results.json").write_text(json.dumps(report, indent=2))


def _picture(
    moments: Sequence[Moment], predicted: Sequence[Frame]
) -> UInt8[np.ndarray, "rows columns 3"]:
    """One row a moment: observed, true, predicted, and how far the last two differ."""
    rows = []
    for moment, frame in zip(moments, predicted, strict=True):
        true = moment.outcomes[0]
        difference = np.abs(frame.astype(np.int16) - true.astype(np.int16)).astype(np.uint8)
        rows.append(np.concatenate([moment.observation.frame, true, frame, difference], axis=1))
    return np.concatenate(rows).repeat(2, axis=0).repeat(2, axis=1)
