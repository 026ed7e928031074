"""Asks the world model once: a frame, and an action or your own words.

It leaves the outcome as a PNG, the way there as an MP4, and both on a filmstrip, and prints the
words that the model was given. chronosim-nano reads only the words of its prompter; models that
read free words say so in their config (model=chronoedit-14b). With explain=true nothing is loaded:
it prints what would be, the memory that needs against what is free, the arithmetic of a step, and
what other GPUs would make of it; gpu=rtx4090, l40s, a100, h100, h200 or b200 plans for that one.
Under torchrun all processes share one model, each on a GPU of its own (or all on the CPU):
torchrun --nproc-per-node 4 --no-python chronosim predict model=chronoedit-14b ...

Examples:
    chronosim predict 'action=[-0.3, 0.2, 0.0]'
    chronosim predict model=chronoedit-14b-turbo frame=street.jpg size=fit text='It starts to rain.'
    chronosim predict model=chronoedit-14b-think model.offload=model explain=true gpu=rtx4090
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from chronosim.cli.output import new_folder
from chronosim.errors import InvalidConfig, InvalidFrame
from chronosim.formats.clips import KINDS, inspect_clip, read_clip
from chronosim.frames import read_frame, write_frame
from chronosim.models.engine.sizes import GRID, CameraSized, Sizing, model_size
from chronosim.models.loading.presets import PRESETS
from chronosim.pictures.panels import Panel, filmstrip
from chronosim.pictures.video import frame_rate, write_video
from chronosim.protocols import Prompter, WorldModel, ask
from chronosim.settings.commands import Predict
from chronosim.settings.parts import waits_for_frame
from chronosim.settings.typed import Part
from chronosim.types import EditPrompt, Frame, Observation, Prediction
from chronosim.world import World


def run(settings: Predict) -> None:
    """Runs the command.

    Raises:
        ChronosimError: A frame, an action, words or a setting that cannot work.
    """
    sizing = _sizing(settings)
    if settings.gpu is not None and not settings.explain:
        raise InvalidConfig(
            f"gpu={settings.gpu} is for explain=true; model.device chooses where a model computes"
        )
    if settings.explain:
        if is_first_process():
            print(_explain(settings, sizing))
        return
    prompter = settings.prompter.make()
    first = _first(settings, prompter)
    if not settings.back:
        first = replace(first, frame=sizing.there(first.frame))
        _check_grid(settings.model, first.frame)
    model = _model(settings.model)
    if settings.back:
        model = CameraSized(model, sizing)
    if settings.text is None:
        step = World(model, prompter).step(first, settings.action, seed=settings.seed)
        prediction = step.prediction
        words = str(prediction.text)
    else:
        prompt = EditPrompt(first.frame, settings.text, settings.seed)
        [prediction] = ask(model, [prompt])
        words = prediction.text or prompt.text
    if not is_first_process():
        return
    folder = new_folder(settings.composed, "predict")
    write_frame(folder / "outcome.png", prediction.frame)
    write_frame(folder / "filmstrip.png", filmstrip(_panels(first.frame, prediction, words)))
    film = chain(_before(settings, first.frame, sizing), prediction.trajectory)
    rate = _film_rate(settings)
    rate = rate or frame_rate(prompter.seconds_per_step, len(prediction.trajectory))
    write_video(film, folder / "trajectory.mp4", rate)
    print(
        f"words       {words}\n"
        f"outcome     {folder / 'outcome.png'}\n"
        f"trajectory  {folder / 'trajectory.mp4'}\n"
        f"filmstrip   {folder / 'filmstrip.png'}"
    )


def _model(part: Part) -> WorldModel:
    """The model; under torchrun, one that all processes share."""
    shared = {}
    if count_processes() > 1:
        if not part.accepts("parallel"):
            raise InvalidConfig(
                f"the processes of torchrun can only share a ChronoEdit, not {part.target}"
            )
        shared["parallel"] = part.values.get("parallel") or "ulysses"
    model: WorldModel = part.make(**shared)
    return model


def _first(settings: Predict, prompter: Prompter) -> Observation:
    """The observation to begin with: the user's frame, or one of the scenario's.

    A scenario that waits for a frame gets the user's, and its values hold.
    """
    frame, values = _own_frame(settings), dict[str, float]()
    waits = (
        frame is not None and settings.text is None and waits_for_frame(settings.scenario.values)
    )
    if frame is None or waits:
        with _as_picture(settings, frame) as picture:
            scenario = settings.scenario.make(**{"frame": picture} if waits else {})
        drawn, values = scenario.begin(np.random.default_rng(settings.seed))
        frame = drawn if frame is None else frame
    return Observation(frame, prompter.begin(values if settings.start is None else settings.start))


def _film(settings: Predict) -> Path | None:
    """The video that goes on; None: the frame is none."""
    own = None if settings.frame is None else Path(settings.frame)
    return own if own is not None and own.suffix.lower() in KINDS else None


def _own_frame(settings: Predict) -> Frame | None:
    """The user's picture; of a film the last frame, from which it goes on."""
    film = _film(settings)
    if film is None:
        return None if settings.frame is None else read_frame(settings.frame)
    last = deque(read_clip(film), maxlen=1)
    if not last:
        raise InvalidFrame(f"the film {film} has no frame to go on from")
    return last[0]


@contextmanager
def _as_picture(settings: Predict, frame: Frame | None) -> Iterator[str | None]:
    """A file that a scenario reads: a film's last frame is written to one."""
    if frame is None or _film(settings) is None:
        yield settings.frame
        return
    with TemporaryDirectory(prefix="chronosim-") as folder:
        path = f"{folder}/frame.png"
        write_frame(path, frame)
        yield path


def _before(settings: Predict, first: Frame, sizing: Sizing) -> Iterator[Frame]:
    """What the film shows before the prediction: the frame, or the film that it ends."""
    film = _film(settings)
    for frame in [] if film is None else read_clip(film):
        yield frame if settings.back else sizing.there(frame)
    if film is None:
        yield first


def _film_rate(settings: Predict) -> Fraction | None:
    film = _film(settings)
    rate = None if film is None else inspect_clip(film).fps
    return None if rate is None else Fraction(rate).limit_denominator(1001)


def _check_grid(part: Part, frame: Frame) -> None:
    """Refuses what no ChronoEdit can take before it is fetched and loaded."""
    height, width = frame.shape[:2]
    preset = PRESETS.get(str(part.values.get("preset") or part.values.get("name")))
    if preset is not None and preset.frame_size is not None:
        return  # it says itself that it takes no photo
    if part.accepts("preset") and (height % GRID or width % GRID):
        raise InvalidFrame(
            f"ChronoEdit takes frames whose sides are multiples of {GRID}, not {height} x {width}: "
            "give size=fit"
        )


def _sizing(settings: Predict) -> Sizing:
    """How the frame becomes one for the model."""
    if settings.size is None:
        return Sizing()
    if settings.size == "fit":
        return Sizing("fit", area=settings.area)
    return Sizing("crop", settings.size)


def _explain(settings: Predict, sizing: Sizing) -> str:
    """What the model would load and need."""
    # Here: it brings torch, which not all models need.
    from chronosim.models.rivals.outlook import explain_model

    part, size = settings.model, sizing.size
    if (own := _own_frame(settings)) is not None:
        frame = sizing.there(own)
        size = frame.shape[0], frame.shape[1]
    elif sizing.way == "fit":
        size = model_size(720, 1280, area=sizing.area)
    return explain_model(part.target, part.values, gpu=settings.gpu, size=size)


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
