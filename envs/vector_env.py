"""Many environments over one world model: one predict call moves them all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array, iterate
from jaxtyping import Bool, Float64

from chronosim.envs.chrono_env import ChronoEnv, DictObservation
from chronosim.errors import InvalidAction, InvalidConfig, ResetNeeded
from chronosim.protocols import Prompter, Scenario, WorldModel
from chronosim.types import Frame, Guard


class ChronoVectorEnv(VectorEnv[DictObservation, Any, np.ndarray]):
    """Steps rows of `ChronoEnv` together: one call of the world model for all of them.

    Each row is a `ChronoEnv` of its own, seeded `seed + i`: the same seed gives the same episode
    alone and as a row (exactly so where the model answers a prompt alone as in a call). A row that
    ended is reset by the next step instead of stepped (`AutoresetMode.NEXT_STEP`).

    Args:
        model: The `WorldModel`.
        prompter: The `Prompter`.
        scenario: The `Scenario`.
        num_envs: How many rows.
        horizon: Steps after which a row's episode is truncated; None for endless.
        frame_size: (height, width) that first frames are fitted to; None takes them as they are.
        render_mode: `"rgb_array"` renders the observed frames; None renders nothing.
        guard: Looks at each outcome, and may give a reason to truncate a row's episode there.

    Raises:
        InvalidConfig: `num_envs`, `horizon` or `render_mode` cannot be.
    """

    def __init__(
        self,
        model: WorldModel,
        prompter: Prompter,
        scenario: Scenario,
        *,
        num_envs: int,
        horizon: int | None = 100,
        frame_size: tuple[int, int] | None = None,
        render_mode: str | None = None,
        guard: Guard | None = None,
    ) -> None:
        if num_envs < 1:
            raise InvalidConfig(f"a vector environment needs 1 row or more, not {num_envs}")
        self.rows = [
            ChronoEnv(
                model,
                prompter,
                scenario,
                horizon=horizon,
                frame_size=frame_size,
                render_mode=render_mode,
                guard=guard,
            )
            for _ in range(num_envs)
        ]
        self.num_envs, self.render_mode = num_envs, render_mode
        self.world = self.rows[0].world
        for row in self.rows:
            row.world = self.world
        self.metadata = {**self.rows[0].metadata, "autoreset_mode": AutoresetMode.NEXT_STEP}
        self.single_observation_space = self.rows[0].observation_space
        self.single_action_space = self.rows[0].action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._observations: list[DictObservation] = [{} for _ in self.rows]
        self._ended = np.zeros(num_envs, np.bool_)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[DictObservation, dict[str, Any]]:
        """Begins an episode in each row.

        Args:
            seed: Row i gets `seed + i`, or the i-th of a sequence; None goes on drawing.
            options: As for `ChronoEnv.reset`, for all rows; `reset_mask`, bool (num_envs,), resets
                only the rows where it is true.

        Returns:
            The observations of all rows, and an empty info.

        Raises:
            InvalidConfig: There are not as many seeds, or mask entries, as rows.
            ResetNeeded: A row that the mask leaves out has not begun.
            ChronosimError: As `ChronoEnv.reset`.
        """
        wanted = dict(options or {})
        mask = self._mask(wanted.pop("reset_mask", np.ones(self.num_envs, np.bool_)))
        if not all(chosen or seen for chosen, seen in zip(mask, self._observations, strict=True)):
            raise ResetNeeded("no row has begun yet: the first reset takes all of them")
        for index, row_seed in enumerate(self._seeds(seed)):
            if mask[index]:
                self._observations[index], _ = self.rows[index].reset(seed=row_seed, options=wanted)
        self._ended[mask] = False
        return self._batch(), {}

    def step(
        self, actions: Any
    ) -> tuple[
        DictObservation,
        Float64[np.ndarray, " rows"],
        Bool[np.ndarray, " rows"],
        Bool[np.ndarray, " rows"],
        dict[str, Any],
    ]:
        """Holds each row's action for one step; a row that ended is reset, its action ignored.

        Raises:
            ResetNeeded: Before `reset`.
            InvalidAction: There are not as many actions as rows, or one does not lie in the action
                space; all rows stay as they were.
            ChronosimError: As `ChronoEnv.step`; all rows stay as they were.
        """
        row_actions = self._split(actions)
        going = [index for index in range(self.num_envs) if not self._ended[index]]
        asked = [self.rows[index].ask() for index in going]
        steps = self.world.advance(
            [observation for observation, _ in asked],
            [row_actions[index] for index in going],
            seeds=[seed for _, seed in asked],
        )
        rewards = np.zeros(self.num_envs)
        terminated, truncated = np.zeros((2, self.num_envs), np.bool_)
        infos: dict[int, dict[str, Any]] = {}
        for index, step in zip(going, steps, strict=True):
            (
                self._observations[index],
                rewards[index],
                terminated[index],
                truncated[index],
                infos[index],
            ) = self.rows[index].take(step)
        for index in np.flatnonzero(self._ended).tolist():
            self._observations[index], _ = self.rows[index].reset()
        self._ended = terminated | truncated
        return self._batch(), rewards, terminated, truncated, self._merge(infos)

    def render(self) -> tuple[Frame, ...] | None:
        """Gives a copy of each row's observed frame; None without a render mode."""
        if self.render_mode is None:
            return None
        return tuple(row.observation.frame for row in self.rows)

    def reseed(self, seed: int) -> None:
        """Changes the noise of each row from here on; row i gets `seed + i`."""
        for index, row in enumerate(self.rows):
            row.reseed(seed + index)

    @property
    def np_random_seed(self) -> tuple[int | None, ...]:  # type: ignore[override]
        """The rows' seeds."""
        return tuple(row.np_random_seed for row in self.rows)

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """The rows' random generators."""
        return tuple(row.np_random for row in self.rows)

    def _seeds(self, seed: int | Sequence[int | None] | None) -> Sequence[int | None]:
        if seed is None:
            return [None] * self.num_envs
        if isinstance(seed, int | np.integer):
            return [int(seed) + index for index in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise InvalidConfig(f"{self.num_envs} rows need as many seeds, not {len(seed)}")
        return seed

    def _mask(self, mask: Any) -> Bool[np.ndarray, " rows"]:
        chosen = np.asarray(mask)
        if chosen.dtype != np.bool_ or chosen.shape != (self.num_envs,):
            raise InvalidConfig(
                f"reset_mask must be bool of shape ({self.num_envs},), "
                f"not {chosen.dtype} of shape {chosen.shape}"
            )
        return chosen

    def _split(self, actions: Any) -> list[Any]:
        try:
            rows = list(iterate(self.action_space, actions))
        except (TypeError, ValueError) as error:
            raise InvalidAction(f"actions must be one for each row, not {actions!r}") from error
        if len(rows) != self.num_envs:
            raise InvalidAction(f"{self.num_envs} rows need as many actions, not {len(rows)}")
        return rows

    def _batch(self) -> DictObservation:
        empty: Any = create_empty_array(self.single_observation_space, self.num_envs)
        batch: Any = concatenate(self.single_observation_space, self._observations, empty)
        return dict(batch)

    def _merge(self, infos: dict[int, dict[str, Any]]) -> dict[str, Any]:
        """Merges the rows' infos as Gymnasium does: each key beside a mask of who has it."""
        merged: dict[str, Any] = {}
        lengths = {len(info["trajectory"]) for info in infos.values()}
        for index, info in infos.items():
            rest = dict(info)
            if len(lengths) > 1:  # of different lengths, trajectories make no one array
                merged.setdefault("trajectory", np.full(self.num_envs, None, object))
                merged.setdefault("_trajectory", np.zeros(self.num_envs, np.bool_))
                merged["trajectory"][index] = rest.pop("trajectory")
                merged["_trajectory"][index] = True
            merged = self._add_info(merged, rest, index)
        return merged
