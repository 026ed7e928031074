"""What truly happened, on disk: moments and computed arrays in files, episodes in Zarr."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from jaxtyping import UInt8

from chronosim.episodes import EpisodeReader, EpisodeWriter, Step, list_episodes
from chronosim.errors import EpisodeNotFound, InvalidConfig
from chronosim.evaluation.truth.moments import Moment
from chronosim.evaluation.truth.recordings import Recording
from chronosim.protocols import Prompter
from chronosim.simulator import noise_seed
from chronosim.types import Observation, Prediction, Trajectory

__all__ = [
    "load_arrays",
    "load_imagined",
    "load_moments",
    "load_predictions",
    "load_recordings",
    "save_arrays",
    "save_episodes",
    "save_moments",
    "save_predictions",
]

Frames = UInt8[np.ndarray, "episodes height width 3"]


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
    imagined: Sequence[Frames] | None,
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
            if EpisodeReader(path).finished:
                continue
            shutil.rmtree(path)
        known = {**about, "seed": recording.seed, "synthetic": imagined is not None}
        observations = recording.observations
        with EpisodeWriter(path, observations[0], known) as writer:
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
