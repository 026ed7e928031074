"""The stateless machine: a world model and a prompter, stepped from any observation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chronosim.errors import InvalidModel
from chronosim.protocols import Prompter, WorldModel
from chronosim.types import EditPrompt, Observation, Prediction

__all__ = ["Branch", "Simulator", "noise_seed"]

Branch = list[tuple[Observation, Prediction]]
"""A played-out plan: for each action the observation after it and the prediction behind it."""


def noise_seed(seed: int, depth: int) -> int:
    """Derives the seed of one step's noise from the seed of a whole plan or episode.

    Args:
        seed: Seed of the plan, >= 0.
        depth: Which step of it, >= 0.

    Returns:
        A seed, 0 to 2**63 - 1.
    """
    return int(np.random.SeedSequence((seed, depth)).generate_state(1, np.uint64)[0] >> 1)


@dataclass(frozen=True, slots=True)
class Simulator:
    """Steps the world from any observation; it remembers nothing, so any state can be branched.

    Attributes:
        model: How the world moves.
        prompter: How an action is worded.
    """

    model: WorldModel
    prompter: Prompter

    def step(
        self, observation: Observation, action: Any, *, seed: int
    ) -> tuple[Observation, Prediction]:
        """Takes one action.

        Args:
            observation: Where the world stands.
            action: Held for one step; it lies in the prompter's action space.
            seed: Seed of the model's noise.

        Returns:
            The next observation, and the prediction behind it; its `text` is always filled in.

        Raises:
            InvalidAction: The action does not lie in the prompter's action space.
            InvalidFrame: The frame is not of a size the model works at.
            InvalidPrompt: The model cannot read the prompter's words.
            InvalidModel: The model broke its contract.
        """
        return self.step_all([observation], [action], seeds=[seed])[0]

    def step_all(
        self, observations: Sequence[Observation], actions: Sequence[Any], *, seeds: Sequence[int]
    ) -> Branch:
        """Takes one action in each of several worlds, by one call of the model.

        Args:
            observations: Where each world stands.
            actions: One for each observation.
            seeds: Seeds of the model's noise, one for each observation.

        Returns:
            For each world the next observation and the prediction behind it.

        Raises:
            InvalidAction: An action does not lie in the prompter's action space.
            InvalidFrame: A frame is not of a size the model works at.
            InvalidPrompt: The model cannot read the prompter's words.
            InvalidModel: The model broke its contract.
        """
        prompts, states = [], []
        for observation, action, seed in zip(observations, actions, seeds, strict=True):
            text, state = self.prompter(observation, action)
            prompts.append(EditPrompt(observation.frame, text, seed))
            states.append(state)
        return [
            (Observation(prediction.frame, state, observation.step + 1), prediction)
            for observation, state, prediction in zip(
                observations, states, self._predict(prompts), strict=True
            )
        ]

    def imagine(self, observation: Observation, plan: Sequence[Any], *, seed: int) -> Branch:
        """Plays out a plan.

        Args:
            observation: Where the world stands.
            plan: Actions, one after the other.
            seed: Seed of the plan; the noise at depth d is `noise_seed(seed, d)`.

        Returns:
            For each action the observation after it and the prediction behind it.

        Raises:
            ChronosimError: As `step`.
        """
        return self.what_if(observation, [plan], seed=seed)[0]

    def what_if(
        self, observation: Observation, plans: Sequence[Sequence[Any]], *, seed: int
    ) -> list[Branch]:
        """Plays out several plans from one observation, by one call of the model per depth.

        All branches meet the same noise at the same depth, so they differ only by their actions.

        Args:
            observation: Where the world stands.
            plans: Sequences of actions; their lengths may differ.
            seed: Seed of all plans; the noise at depth d is `noise_seed(seed, d)`.

        Returns:
            One branch for each plan, as `imagine` gives it.

        Raises:
            ChronosimError: As `step`.
        """
        branches: list[Branch] = [[] for _ in plans]
        for depth in range(max(map(len, plans), default=0)):
            alive = [index for index, plan in enumerate(plans) if depth < len(plan)]
            steps = self.step_all(
                [branches[index][-1][0] if depth else observation for index in alive],
                [plans[index][depth] for index in alive],
                seeds=[noise_seed(seed, depth)] * len(alive),
            )
            for index, step in zip(alive, steps, strict=True):
                branches[index].append(step)
        return branches

    def _predict(self, prompts: list[EditPrompt]) -> list[Prediction]:
        """Asks the model, holds it to its contract, and fills in the words where it left them."""
        if not prompts:
            return []
        predictions = self.model.predict(prompts)
        if len(predictions) != len(prompts):
            raise InvalidModel(
                f"{self._name} gave {len(predictions)} predictions for {len(prompts)} prompts; "
                "a world model must answer each prompt once"
            )
        for prompt, prediction in zip(prompts, predictions, strict=True):
            if prediction.frame.shape != prompt.frame.shape:
                raise InvalidModel(
                    f"{self._name} answered a frame of shape {prompt.frame.shape} with frames of "
                    f"shape {prediction.frame.shape}; a world model must keep the size"
                )
        return [
            prediction if prediction.text is not None else replace(prediction, text=prompt.text)
            for prompt, prediction in zip(prompts, predictions, strict=True)
        ]

    @property
    def _name(self) -> str:
        return str(self.model.identity.get("name", type(self.model).__name__))
