"""Truth and what the model makes of it, side by side: computed once, kept in the folder."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from chronosim.episodes import EpisodeReader, EpisodeWriter, Step, list_episodes
from chronosim.errors import EpisodeNotFound, InvalidConfig
from chronosim.evaluation.predictions import predict, roll_out, teach
from chronosim.evaluation.sources import Source
from chronosim.evaluation.truth import Moment, Recording, Steps
from chronosim.files import whole_file
from chronosim.models.engine.chronoedit import ChronoEdit
from chronosim.progress import watch
from chronosim.protocols import Prompter
from chronosim.seeds import noise_seed
from chronosim.types import Frames, Observation, Prediction, Trajectory
from chronosim.world import World


class Comparison:
    """Truth, and what the model makes of it; each is computed when it is first asked for.

    Args:
        folder: The run's; what is found there is not computed again.
        world: The model, and the prompter that words the source's actions.
        source: Where the truth comes from.
        seed: Of the model's noise; moment i has seed + i.
    """

    def __init__(self, folder: Path, world: World, source: Source, *, seed: int) -> None:
        self.folder, self.world, self.source, self.seed = folder, world, source, seed

    @cached_property
    def moments(self) -> list[Moment]:
        """States with the action taken there, others, and what truly came of them."""
        path = self.folder / "moments.npz"
        moments = _load_moments(path)
        if moments is None:
            drawn = self.source.moments()
            moments = list(watch(drawn, "moments of the truth", self.source.windows))
            _save_moments(path, moments)
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
        kept = _load_arrays(path)
        if kept is not None:
            return list(kept["trajectories"]), float(kept["seconds"])
        moments, began = self.moments, time.perf_counter()
        answers = predict(moments, self.world, seed=self.seed)
        predicted = list(watch(answers, "predicting", len(moments)))
        seconds = (time.perf_counter() - began) / len(moments)
        _save_arrays(path, trajectories=np.stack(predicted), seconds=np.array(seconds))
        return predicted, seconds

    @cached_property
    def recordings(self) -> list[Recording]:
        """True episodes; also in Zarr, in episodes/true."""
        folder = self.folder / "episodes" / "true"
        readers = _finished(folder, self.source.rollouts)
        if readers is not None:
            return [_recording(reader) for reader in readers]
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
        readers = _finished(folder, len(self.recordings))
        if readers is not None:
            return list(np.stack([reader.frames[1:] for reader in readers], axis=1))
        steps = roll_out(self.recordings, self.quick, seed=self.seed)
        imagined = list(watch(steps, "rolling out", len(self.recordings[0].actions)))
        self._log(folder, self.recordings, imagined)
        return imagined

    @cached_property
    def taught(self) -> list[Frames]:
        """After each step, the model's frame of each episode, shown the true one before it."""
        path = self.folder / "taught.npz"
        kept = _load_arrays(path)
        if kept is None:
            steps = teach(self.recordings, self.quick, seed=self.seed)
            total = len(self.recordings[0].actions)
            kept = {"frames": np.stack(list(watch(steps, "one step at a time", total)))}
            _save_arrays(path, **kept)
        return list(kept["frames"])

    @cached_property
    def quick(self) -> World:
        """The same world without the frames on the way, where a model can leave them out."""
        model = self.world.model
        if not isinstance(model, ChronoEdit):
            return self.world
        sampling = replace(model.sampling, decode_trajectory=False)  # the outcome is the same
        return World(model.resampled(sampling), self.world.prompter)

    def _log(self, folder: Path, recordings: Sequence[Recording], imagined: Steps | None) -> None:
        about = dict(self.source.about)
        if imagined is not None:
            about |= {"model": dict(self.world.model.identity)}
        prompter = self.world.prompter
        _save_episodes(folder, recordings, imagined, prompter=prompter, seed=self.seed, about=about)


def _save_moments(path: Path, moments: Sequence[Moment]) -> None:
    """Keeps moments in one file; they are of one kind, and their actions JSON values or arrays."""
    actions = [[np.asarray(action).tolist() for action in moment.actions] for moment in moments]
    seen = [moment.observation for moment in moments]
    _save_arrays(
        path,
        seeds=np.array([moment.seed for moment in moments]),
        steps=np.array([observation.step for observation in seen]),
        frames=np.stack([observation.frame for observation in seen]),
        states=np.stack([observation.state for observation in seen]),
        trajectories=np.stack([moment.trajectory for moment in moments]),
        others=np.stack([moment.others for moment in moments]),
        actions=np.array(json.dumps(actions)),
        dtype=np.array(np.asarray(moments[0].actions[0]).dtype.str),
    )


def _load_moments(path: Path) -> list[Moment] | None:
    kept = _load_arrays(path)
    if kept is None:
        return None
    dtype, actions = np.dtype(str(kept["dtype"])), json.loads(str(kept["actions"]))
    rows = zip(*(kept[name] for name in ("seeds", "frames", "states", "steps")), strict=True)
    return [
        Moment(
            int(seed),
            Observation(frame, state, int(step)),
            # An action as it was: an array, or a plain number or word.
            tuple(np.array(a, dtype) if isinstance(a, list) else a for a in actions[index]),
            kept["trajectories"][index],
            kept["others"][index],
        )
        for index, (seed, frame, state, step) in enumerate(rows)
    ]


def _save_episodes(
    folder: Path,
    recordings: Sequence[Recording],
    imagined: Steps | None,
    *,
    prompter: Prompter,
    seed: int,
    about: Mapping[str, Any],
) -> None:
    """Logs episodes in Zarr, finished ones left alone: the truth, or what the model made of it."""
    for index, recording in enumerate(recordings):
        path = folder / f"{recording.seed:07d}"
        if path.exists():
            continue
        known = {**about, "seed": recording.seed, "synthetic": imagined is not None}
        observations = recording.observations
        with EpisodeWriter(path, observations[0], known, rivals=True) as writer:
            before = observations[0]
            for depth, action in enumerate(recording.actions):
                true = observations[depth + 1]
                frame = true.frame if imagined is None else imagined[depth][index]
                after = Observation(frame, true.state, depth + 1)
                noise = recording.seed if imagined is None else noise_seed(seed + index, depth)
                last = depth + 1 == len(recording.actions)
                text = prompter(before, action)[0]
                prediction = Prediction(frame[None])
                writer.append(
                    Step(before, action, text, noise, prediction, after, 0.0, False, last)
                )
                before = after


def _finished(folder: Path, number: int) -> list[EpisodeReader] | None:
    """The finished episodes by their seeds; None where there are fewer than `number`."""
    try:
        found = [each for each in map(EpisodeReader, list_episodes(folder)) if each.finished]
    except EpisodeNotFound:
        return None
    return None if len(found) < number else sorted(found, key=lambda each: each.about["seed"])


def _recording(reader: EpisodeReader) -> Recording:
    actions = reader.column("action")
    seen = enumerate(zip(reader.frames, reader.states, strict=True))
    return Recording(
        seed=int(reader.about["seed"]),
        actions=tuple(str(a) if actions.dtype.kind == "T" else a for a in actions),
        observations=tuple(Observation(frame, state, step) for step, (frame, state) in seen),
    )


def _save_arrays(path: Path, **arrays: Any) -> None:
    """Keeps arrays by name; the file is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as draft, draft.open("wb") as file:
        np.savez_compressed(file, **arrays)


def _load_arrays(path: Path) -> dict[str, np.ndarray] | None:
    """The arrays that were kept; None where there are none. Nothing is unpickled."""
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
