"""Truth and what the model makes of it, side by side: computed once, kept in the folder."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from zipfile import BadZipFile

import numpy as np

from chronosim.episodes import EpisodeReader, EpisodeWriter, Step, list_episodes
from chronosim.errors import EpisodeNotFound, InvalidConfig
from chronosim.evaluation.predictions import predict, roll_out, teach
from chronosim.evaluation.sources import Source
from chronosim.evaluation.truth import Frames, Moment, Recording, Steps
from chronosim.models.engine.chronoedit import ChronoEdit
from chronosim.progress import watch
from chronosim.protocols import Prompter
from chronosim.simulator import Simulator, noise_seed
from chronosim.types import Observation, Prediction, Trajectory

__all__ = ["Comparison"]

_Value = TypeVar("_Value")


class Comparison:
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
            moments = list(watch(drawn, "moments of the truth", self.source.windows))
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
            predicted = list(watch(answers, "predicting", len(moments)))
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
            recordings = list(watch(drawn, "episodes of the truth", self.source.rollouts))
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
            imagined = list(watch(steps, "rolling out", total))
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
            taught = np.stack(list(watch(steps, "one step at a time", total)))
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

    def _log(self, folder: Path, recordings: Sequence[Recording], imagined: Steps | None) -> None:
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


def save_moments(path: Path, moments: Sequence[Moment]) -> None:
    """Keeps moments in one file; they are of one kind, and their actions JSON values or arrays."""
    actions = [[np.asarray(action).tolist() for action in moment.actions] for moment in moments]
    save_arrays(
        path,
        {
            "seeds": np.array([moment.seed for moment in moments]),
            "steps": np.array([moment.observation.step for moment in moments]),
            "frames": np.stack([moment.observation.frame for moment in moments]),
            "states": np.stack([moment.observation.state for moment in moments]),
            "trajectories": np.stack([moment.trajectory for moment in moments]),
            "others": np.stack([moment.others for moment in moments]),
            "actions": np.array(json.dumps(actions)),
            "dtype": np.array(np.asarray(moments[0].actions[0]).dtype.str),
        },
    )


def load_moments(path: Path) -> list[Moment] | None:
    """Gives the moments that were kept; None where there are none.

    Raises:
        InvalidConfig: The file cannot be read.
    """
    kept = load_arrays(path)
    if kept is None:
        return None
    dtype, actions = np.dtype(str(kept["dtype"])), json.loads(str(kept["actions"]))
    return [
        Moment(
            seed=int(kept["seeds"][index]),
            observation=Observation(
                kept["frames"][index], kept["states"][index], int(kept["steps"][index])
            ),
            actions=tuple(_action(action, dtype) for action in actions[index]),
            trajectory=kept["trajectories"][index],
            others=kept["others"][index],
        )
        for index in range(len(actions))
    ]


def save_episodes(
    folder: Path,
    recordings: Sequence[Recording],
    imagined: Steps | None,
    *,
    prompter: Prompter,
    seed: int,
    about: Mapping[str, Any],
) -> None:
    """Logs episodes in Zarr: what truly happened, or what the model made of it.

    Args:
        folder: The data set; made if missing. Finished episodes in it are left alone.
        recordings: What truly happened.
        imagined: After each step the model's frame of each episode; None: the truth is logged.
        prompter: Worded the actions.
        seed: Of the model's noise, as `roll_out` was given.
        about: What else the log shall say; `synthetic` is said here.
    """
    for index, recording in enumerate(recordings):
        path = folder / f"{recording.seed:07d}"
        if path.exists():
            continue
        known = {**about, "seed": recording.seed, "synthetic": imagined is not None}
        observations = recording.observations
        with EpisodeWriter(path, observations[0], known, rivals=True) as writer:
            before = observations[0]
            for depth, action in enumerate(recording.actions):
                frame = (
                    observations[depth + 1].frame if imagined is None else imagined[depth][index]
                )
                after = Observation(frame, observations[depth + 1].state, depth + 1)
                noise = recording.seed if imagined is None else noise_seed(seed + index, depth)
                last = depth + 1 == len(recording.actions)
                text = prompter(before, action)[0]
                prediction = Prediction(frame[None])
                writer.append(Step(action, text, noise, prediction, after, 0.0, False, last))
                before = after


def load_recordings(folder: Path, number: int) -> list[Recording] | None:
    """Gives the true episodes that were kept; None where not all of them are there.

    Raises:
        InvalidEpisode: One is damaged.
    """
    readers = _readers(folder, number)
    return None if readers is None else [_recording(reader) for reader in readers]


def load_imagined(folder: Path, number: int) -> list[Frames] | None:
    """Gives the rollouts that were kept: after each step, a frame of each episode.

    Raises:
        InvalidEpisode: One is damaged.
    """
    readers = _readers(folder, number)
    if readers is None:
        return None
    frames = np.stack([reader.frames[1:] for reader in readers], axis=1)
    return list(frames)


def save_predictions(path: Path, predicted: Sequence[Trajectory], seconds: float) -> None:
    """Keeps a model's trajectories, all of one length, and how long one took."""
    save_arrays(path, {"trajectories": np.stack(predicted), "seconds": np.array(seconds)})


def load_predictions(path: Path) -> tuple[list[Trajectory], float] | None:
    """Gives the trajectories that were kept, and how long one took; None where there are none.

    Raises:
        InvalidConfig: The file cannot be read.
    """
    kept = load_arrays(path)
    return None if kept is None else (list(kept["trajectories"]), float(kept["seconds"]))


def _readers(folder: Path, number: int) -> list[EpisodeReader] | None:
    """The finished episodes by their seeds; None where there are fewer than `number`."""
    try:
        readers = [
            reader for reader in map(EpisodeReader, list_episodes(folder)) if reader.finished
        ]
    except EpisodeNotFound:
        return None
    if len(readers) < number:
        return None
    return sorted(readers, key=lambda reader: int(reader.about["seed"]))


def _recording(reader: EpisodeReader) -> Recording:
    frames, states, actions = reader.frames, reader.states, reader.column("action")
    return Recording(
        seed=int(reader.about["seed"]),
        actions=tuple(str(a) if actions.dtype.kind == "T" else a for a in actions),
        observations=tuple(
            Observation(frame, state, step)
            for step, (frame, state) in enumerate(zip(frames, states, strict=True))
        ),
    )


def _action(value: Any, dtype: np.dtype[Any]) -> Any:
    """An action as it was: an array, or a plain number or word."""
    return np.array(value, dtype) if isinstance(value, list) else value


def save_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Keeps arrays by name; the file is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}")
    with draft.open("wb") as file:
        np.savez_compressed(file, **arrays)
    draft.replace(path)


def load_arrays(path: Path) -> dict[str, np.ndarray] | None:
    """Gives the arrays that were kept; None where there are none. Nothing is unpickled.

    Raises:
        InvalidConfig: The file cannot be read.
    """
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as kept:
            return {name: kept[name] for name in kept.files}
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise InvalidConfig(
            f"what was kept in {path} cannot be read ({error}): remove the file, and it is "
            "computed anew"
        ) from error
