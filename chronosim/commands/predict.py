"""Asks the world model once: a frame, and an action or your own words.

It leaves the outcome as a PNG, the way there as an MP4, and both on a filmstrip, and prints the
words that the model was given. chronosim-nano reads only the words of its prompter; models that
read free words say so in their config (model=chronoedit-14b). With explain=true nothing is loaded:
it prints what would be, the memory that needs against what is free, and the arithmetic of a step.
Under torchrun all processes share one model, each on a GPU of its own (or all on the CPU):
torchrun --nproc-per-node 4 --no-python chronosim predict model=chronoedit-14b ...

Examples:
    chronosim predict 'action=[-0.3, 0.2, 0.0]'
    chronosim predict model=chronoedit-14b-turbo frame=street.jpg size=fit text='It starts to rain.'
    chronosim predict model=chronoedit-14b-think model.offload=model explain=true
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from chronosim.cli.output import new_folder
from chronosim.errors import InvalidConfig, InvalidFrame
from chronosim.frames import read_frame, write_frame
from chronosim.models.engine.sizes import GRID, CameraSized, Sizing, model_size
from chronosim.pictures.filmstrip import Panel, filmstrip
from chronosim.pictures.video import frame_rate, write_video
from chronosim.protocols import Prompter, WorldModel
from chronosim.settings.compose import make_part, whole_number
from chronosim.simulator import Simulator
from chronosim.types import EditPrompt, Frame, Observation, Prediction

__all__ = ["count_processes", "is_first_process", "run"]

_LOAD, _PLAN = "chronosim.models.load", "chronosim.models.loading.plan.plan_model"


def run(config: DictConfig) -> None:
    """Runs the command.

    Raises:
        ChronosimError: A frame, an action, words or a setting that cannot work.
    """
    if config.explain:
        if is_first_process():
            print(_explain(config))
        return
    seed, prompter = whole_number(config, "seed", 0), make_part(config, "prompter")
    sizing = _sizing(config)
    first = _first(config, prompter)
    if not config.back:
        first = replace(first, frame=sizing.there(first.frame))
        _check_grid(config, first.frame)
    model = _model(config)
    if config.back:
        model = CameraSized(model, sizing)
    if config.text is None:
        action = _plain(config, "action")
        _, prediction = Simulator(model, prompter).step(first, action, seed=seed)
        words = str(prediction.text)
    else:
        prompt = EditPrompt(first.frame, str(config.text), seed)
        [prediction] = model.predict([prompt])
        words = prediction.text or prompt.text
    if not is_first_process():
        return
    folder = new_folder(config, "predict")
    write_frame(folder / "outcome.png", prediction.frame)
    write_frame(folder / "filmstrip.png", filmstrip(_panels(first.frame, prediction, words)))
    frames = np.concatenate([first.frame[None], prediction.trajectory])
    rate = frame_rate(prompter.seconds_per_step, len(prediction.trajectory))
    write_video(frames, folder / "trajectory.mp4", rate)
    print(
        f"words       {words}\n"
        f"outcome     {folder / 'outcome.png'}\n"
        f"trajectory  {folder / 'trajectory.mp4'}\n"
        f"filmstrip   {folder / 'filmstrip.png'}"
    )


def _model(config: DictConfig) -> WorldModel:
    """The model; under torchrun, one that all processes share."""
    shared = {}
    if count_processes() > 1:
        if str(config.model.get("_target_")) != _LOAD:
            raise InvalidConfig(
                f"only models that {_LOAD} loads can be shared by the processes of torchrun, "
                f"not {config.model.get('_target_')}"
            )
        shared["parallel"] = config.model.get("parallel") or "ulysses"
    model: WorldModel = make_part(config, "model", **shared)
    return model


def _first(config: DictConfig, prompter: Prompter) -> Observation:
    """The observation to begin with: the user's frame, or one of the scenario's."""
    values: Mapping[str, float] = {}
    if config.frame is None:
        rng = np.random.default_rng(int(config.seed))
        frame, values = make_part(config, "scenario").begin(rng)
    else:
        frame = read_frame(str(config.frame))
    if config.start is not None:
        values = _values(_plain(config, "start"))
    return Observation(frame, prompter.begin(values))


def _check_grid(config: DictConfig, frame: Frame) -> None:
    """Refuses what no ChronoEdit can take before it is fetched and loaded."""
    height, width = frame.shape[:2]
    if config.model.get("_target_") == _LOAD and (height % GRID or width % GRID):
        raise InvalidFrame(
            f"ChronoEdit takes frames whose sides are multiples of {GRID}, not {height} x {width}: "
            "give size=fit"
        )


def _plain(config: DictConfig, name: str) -> Any:
    """A setting as plain Python: numbers, words, lists and dicts of them."""
    settings = OmegaConf.to_container(config, resolve=True)
    assert isinstance(settings, dict)
    return settings[name]


def _values(given: Any) -> dict[str, float]:
    if not isinstance(given, dict) or not all(isinstance(v, int | float) for v in given.values()):
        raise InvalidConfig(f"start must be named numbers, e.g. {{speed: 12}}, not {given!r}")
    return {str(name): float(value) for name, value in given.items()}


def _sizing(config: DictConfig) -> Sizing:
    """How the frame becomes one for the model."""
    size, area = _plain(config, "size"), whole_number(config, "area", 1)
    if size is None:
        return Sizing()
    if size == "fit":
        return Sizing("fit", area=area)
    try:
        height, width = (int(side) for side in size)
    except (TypeError, ValueError) as error:
        raise InvalidConfig(
            f"size must be fit, or [height, width] in pixels, not {size}"
        ) from error
    return Sizing("crop", (height, width))


def _explain(config: DictConfig) -> str:
    """What the model would load and need."""
    from chronosim.models.loading.plan import (
        explain,  # here: it brings torch, which not all models need
    )

    target = str(config.model.get("_target_"))
    if target != _LOAD:
        raise InvalidConfig(
            f"explain is for models that {_LOAD} loads, by a preset's name or a folder, "
            f"not for {target}"
        )
    plan = make_part(config, "model", _target_=_PLAN)
    sizing, size = _sizing(config), None
    if config.frame is not None:
        frame = sizing.there(read_frame(str(config.frame)))
        size = frame.shape[0], frame.shape[1]
    elif sizing.way == "fit":
        size = model_size(*plan.size, area=sizing.area)
    return explain(plan, size or sizing.size)


def _panels(observed: Frame, prediction: Prediction, words: str) -> list[Panel]:
    last = len(prediction.trajectory)
    between = [
        Panel(frame, f"{index} of {last}")
        for index, frame in enumerate(prediction.trajectory[:-1], 1)
    ]
    return [
        Panel(observed, "observed", words),
        *between,
        Panel(prediction.frame, f"{last} of {last}: the outcome"),
    ]


def count_processes() -> int:
    """Gives how many there are; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first_process() -> bool:
    """Whether this is the one that prints and writes."""
    return os.environ.get("RANK", "0") == "0"
