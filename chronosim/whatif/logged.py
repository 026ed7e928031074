"""A moment of a logged episode, and what happened then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chronosim.episodes import EpisodeReader, Step
from chronosim.errors import InvalidEpisode
from chronosim.simulator import Simulator
from chronosim.types import Observation
from chronosim.whatif.making import took_steps

__all__ = ["Logged", "read_moment"]


@dataclass(frozen=True, slots=True, eq=False)
class Logged:
    """A moment of a logged episode.

    Attributes:
        root: What was seen.
        steps: What happened from there on.
        seeds: Seeds of the noise of those steps; none where no world model took them.
        own: Whether the simulator's model took them: the same actions then lead to the same frames.
        lineage: The episode and the step, as the data set of a tree names them.
    """

    root: Observation
    steps: tuple[Step, ...]
    seeds: tuple[int, ...]
    own: bool
    lineage: Mapping[str, Any]


def read_moment(path: str | Path, at: int, steps: int, simulator: Simulator) -> Logged:
    """Reads a moment of a logged episode.

    Args:
        path: The episode.
        at: After how many of its steps, >= 0 and before its last one.
        steps: How many of the following ones to read, at most.
        simulator: What shall go on from there.

    Raises:
        EpisodeNotFound: There is no episode.
        InvalidEpisode: It has no such step, or commanded states that the prompter does not keep.
    """
    reader = EpisodeReader(path)
    if not 0 <= at < reader.steps:
        raise InvalidEpisode(
            f"{path} has {reader.steps} steps: what if it had done otherwise at step {at}? "
            f"Choose at= from 0 to {reader.steps - 1}"
        )
    root = reader.observation(at)
    kept = simulator.prompter.state_space
    if root.state.shape != kept.shape:
        raise InvalidEpisode(
            f"{path} keeps commanded states of shape {root.state.shape}, but the prompter of "
            f"{kept.shape}: choose the prompter that the episode was logged with"
        )
    following = tuple(reader.step(index) for index in range(at, min(at + steps, reader.steps)))
    synthetic = reader.about.get("synthetic") is True
    return Logged(
        root=root,
        steps=following,
        seeds=tuple(step.seed for step in following) if synthetic else (),
        own=took_steps(simulator.model.identity, reader.about),
        lineage={"episode": str(Path(path).absolute()), "step": at, "branch": 1},
    )
