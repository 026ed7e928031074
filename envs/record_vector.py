"""Runs episodes in the rows of a vector environment, and logs each while it happens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chronosim.envs.vector_env import ChronoVectorEnv
from chronosim.episodes import EpisodeWriter, Step
from chronosim.episodes.layout import Trajectories
from chronosim.errors import ResetNeeded
from chronosim.types import Observation

__all__ = ["RecordRows"]


class RecordRows:
    """Gives each row of a `ChronoVectorEnv` one episode after the other, each named by the caller.

    No Gymnasium wrapper: those move every row at every step and reset by themselves what ended,
    while here a row's next episode has a name and a seed, and a row without one costs nothing.
    An episode in a row is the episode of a lone `ChronoEnv` with its seed; only the latency logged
    is that of the call that moved all rows.

    Args:
        env: The environment; all its rows are this recorder's.
        folder: The data set; made if missing.
        trajectories: How the frames between two observations are kept, as `EpisodeWriter` says.

    Attributes:
        folder: The data set.
        trajectories: How the frames between two observations are kept.
    """

    def __init__(
        self, env: ChronoVectorEnv, folder: str | Path, *, trajectories: Trajectories = "lossless"
    ) -> None:
        self.env, self.folder, self.trajectories = env, Path(folder), trajectories
        self._writers: dict[int, EpisodeWriter] = {}

    def begin(self, row: int, name: str, *, seed: int, about: Mapping[str, Any]) -> Observation:
        """Begins an episode in a row.

        Args:
            row: Which, 0 to `num_envs` - 1.
            name: The episode's folder in the data set; it must not exist. Others may be attempting
                the same one; the first to be finished wins.
            seed: Of the scenario's draw and of the model's noise.
            about: What else to say of the episode; JSON values only.

        Returns:
            What is seen first.

        Raises:
            EpisodeExists: There is an episode of that name.
            InvalidConfig: There is no such way to keep trajectories.
            EpisodeWriteError: The disk refuses.
        """
        self.env.rows[row].reset(seed=seed)
        first = self.observation(row)
        told = {**self.env.world.about(seed=seed), **about}
        self._writers[row] = EpisodeWriter(
            self.folder / name, first, told, trajectories=self.trajectories, rivals=True
        )
        return first

    def observation(self, row: int) -> Observation:
        """A copy of where a row stands."""
        return self.env.rows[row].observation

    def step(self, actions: Mapping[int, Any]) -> dict[int, Step]:
        """Holds an action in each of some rows, by one call of the model, and logs what came of it.

        An episode that ends is finished on disk, and its row is free for the next.

        Args:
            actions: By row.

        Returns:
            What was logged, by row.

        Raises:
            ResetNeeded: No episode was begun in a row.
            EpisodeExists: Another attempt at an episode was finished first.
            InvalidAction: An action does not lie in the action space; all rows stay as they were.
            EpisodeWriteError: The disk refuses; the steps before this one stay readable.
            ChronosimError: As `World.advance`.
        """
        for row in actions:
            if row not in self._writers:
                raise ResetNeeded(f"no episode is being recorded in row {row}: call begin first")
        asked = [self.env.rows[row].ask() for row in actions]
        taken = self.env.world.advance(
            [observation for observation, _ in asked],
            list(actions.values()),
            seeds=[seed for _, seed in asked],
        )
        steps = dict(zip(actions, taken, strict=True))
        for row, step in steps.items():
            self.env.rows[row].take(step)
            self._log(row, step)
        return steps

    def _log(self, row: int, step: Step) -> None:
        writer = self._writers.pop(row)  # a refused step leaves a gap: nothing may follow
        writer.append(step)
        if step.ended:
            writer.close()
        else:
            self._writers[row] = writer
