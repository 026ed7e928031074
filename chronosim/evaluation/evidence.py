"""What all parts of an evaluation judge by: computed once, and kept in the run's folder."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from chronosim.evaluation.fidelity.rollouts import roll_out, teach
from chronosim.evaluation.predictions import predict
from chronosim.evaluation.truth.moments import Moment
from chronosim.evaluation.truth.recordings import Recording
from chronosim.evaluation.truth.sources import Source
from chronosim.evaluation.truth.storage import (
    load_arrays,
    load_imagined,
    load_moments,
    load_predictions,
    load_recordings,
    save_arrays,
    save_episodes,
    save_moments,
    save_predictions,
)
from chronosim.models.engine.chronoedit import ChronoEdit
from chronosim.simulator import Simulator
from chronosim.types import Trajectory

__all__ = ["Evidence", "Frames"]

Frames = UInt8[np.ndarray, "episodes height width 3"]
_Value = TypeVar("_Value")


class Evidence:
    """Truth, and what the model makes of it; each is computed when it is first asked for.

    Args:
        folder: The run's; what is found there is not computed again.
        simulator: The model, and the prompter that words the source's actions.
        source: Where the truth comes from.
        seed: Of the model's noise; moment i has seed + i.
    """

    def __init__(self, folder: Path, simulator: Simulator, source: Source, *, seed: int) -> None:
        self.folder, self.simulator, self.source, self.seed = folder, simulator, source, seed

    @cached_property
    def moments(self) -> list[Moment]:
        """States with the action taken there, others, and what truly came of them."""
        path = self.folder / "moments.npz"
        moments = load_moments(path)
        if moments is None:
            drawn = self.source.moments()
            moments = list(_bar(drawn, "moments of the truth", self.source.windows, "moment"))
            save_moments(path, moments)
        return moments

    @property
    def predicted(self) -> list[Trajectory]:
        """The model's trajectory of the action taken at each moment."""
        return self._predictions[0]

    @property
    def seconds(self) -> float:
        """Of one prediction, on average."""
        return self._predictions[1]

    @cached_property
    def _predictions(self) -> tuple[list[Trajectory], float]:
        path = self.folder / "predicted.npz"
        kept = load_predictions(path)
        if kept is None:
            moments, began = self.moments, time.perf_counter()
            answers = predict(moments, self.simulator, seed=self.seed)
            predicted = list(_bar(answers, "predicting", len(moments), "moment"))
            kept = predicted, (time.perf_counter() - began) / len(moments)
            save_predictions(path, *kept)
        return kept

    @cached_property
    def recordings(self) -> list[Recording]:
        """True episodes; also in Zarr, in episodes/true."""
        folder = self.folder / "episodes" / "true"
        recordings = load_recordings(folder, self.source.rollouts)
        if recordings is None:
            drawn = self.source.recordings()
            recordings = list(_bar(drawn, "episodes of the truth", self.source.rollouts, "episode"))
            self._log(folder, recordings, None)
        return recordings

    @cached_property
    def imagined(self) -> list[Frames]:
        """After each step, the model's frame of each episode, fed on its own frames.

        Also in Zarr, in episodes/imagined.
        """
        folder = self.folder / "episodes" / "imagined"
        imagined = load_imagined(folder, len(self.recordings))
        if imagined is None:
            steps = roll_out(self.recordings, self.quick, seed=self.seed)
            total = len(self.recordings[0].actions)
            imagined = list(_bar(steps, "rolling out", total, "step"))
            self._log(folder, self.recordings, imagined)
        return imagined

    @cached_property
    def taught(self) -> list[Frames]:
        """After each step, the model's frame of each episode, shown the true one before it."""
        path = self.folder / "taught.npz"
        kept = load_arrays(path)
        if kept is None:
            steps = teach(self.recordings, self.quick, seed=self.seed)
            total = len(self.recordings[0].actions)
            taught = np.stack(list(_bar(steps, "one step at a time", total, "step")))
            save_arrays(path, {"frames": taught})
            return list(taught)
        return list(kept["frames"])

    @cached_property
    def quick(self) -> Simulator:
        """The same simulator without the frames on the way, where a model can leave them out."""
        model = self.simulator.model
        if not isinstance(model, ChronoEdit):
            return self.simulator
        sampling = replace(model.sampling, decode_trajectory=False)  # the outcome is the same
        return Simulator(model.resampled(sampling), self.simulator.prompter)

    def _log(
        self, folder: Path, recordings: Sequence[Recording], imagined: Sequence[Frames] | None
    ) -> None:
        about = dict(self.source.about)
        if imagined is not None:
            about |= {"model": dict(self.simulator.model.identity)}
        save_episodes(
            folder,
            recordings,
            imagined,
            prompter=self.simulator.prompter,
            seed=self.seed,
            about=about,
        )


def _bar(values: Iterable[_Value], what: str, total: int, unit: str) -> Any:
    return tqdm(values, what, total, unit=unit)
