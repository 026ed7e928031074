"""The four seams: how the world moves, how an action is worded, what counts, who acts.

A new model is one `WorldModel`, a new robot one `Prompter`, a new benchmark one `Scenario`, a new
policy one `Policy`.
`chronosim.testing` holds the contract of each as a runnable check.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import gymnasium as gym
import numpy as np

from chronosim.errors import InvalidModel
from chronosim.types import EditPrompt, Frame, Observation, Prediction, State

__all__ = ["Policy", "Prompter", "Scenario", "WorldModel"]


@runtime_checkable
class WorldModel(Protocol):
    """How the world moves: frames and words in, trajectories out.

    Everything that shapes an answer, besides the prompt, is in `identity`.
    """

    @property
    def identity(self) -> Mapping[str, Any]:
        """What made these predictions: at least `name`; JSON values only (for the log)."""
        ...

    def predict(self, prompts: Sequence[EditPrompt]) -> list[Prediction]:
        """Answers each prompt.

        Args:
            prompts: Any number of prompts; their frames may differ.

        Returns:
            One prediction for each prompt, in the same order, each of its prompt's frame size.

        Raises:
            InvalidFrame: A frame is not of a size the model works at.
            InvalidPrompt: The model cannot read the words.
        """
        ...


@contextmanager
def no_nan(model: WorldModel) -> Iterator[None]:
    """Makes NaN in a model's NumPy an error, inside the with: as a frame it would be black.

    What is meant may say so by `numpy.errstate(invalid="ignore")`.

    Raises:
        InvalidModel: The model made NaN.
    """
    try:
        with np.errstate(invalid="raise"):
            yield
    except FloatingPointError as error:
        name = model.identity.get("name", type(model).__name__)
        raise InvalidModel(f"{name} made NaN where it should predict: {error}") from error


def ask(model: WorldModel, prompts: Sequence[EditPrompt]) -> list[Prediction]:
    """Asks a model and holds it to its contract: the door that every world asks through.

    Args:
        model: The model; see `no_nan`.
        prompts: Any number of prompts.

    Returns:
        One prediction for each prompt, in order.

    Raises:
        InvalidModel: The model broke its contract.
        ChronosimError: As the model's `predict`.
    """
    name = str(model.identity.get("name", type(model).__name__))
    with no_nan(model):
        predictions = model.predict(prompts)
    if len(predictions) != len(prompts):
        raise InvalidModel(
            f"{name} gave {len(predictions)} predictions for {len(prompts)} prompts; "
            "a world model must answer each prompt once"
        )
    for prompt, prediction in zip(prompts, predictions, strict=True):
        if prediction.frame.shape != prompt.frame.shape:
            raise InvalidModel(
                f"{name} answered a frame of shape {prompt.frame.shape} with frames of "
                f"shape {prediction.frame.shape}; a world model must keep the size"
            )
        for metric, value in prediction.metrics.items():
            if value != value:
                raise InvalidModel(f"{name} gave NaN as the metric {metric!r} of a prediction")
    return predictions


@runtime_checkable
class Prompter(Protocol):
    """How an action is worded, and what is known of the robot without looking.

    It may also have `suggest(observation)`, which gives actions by name that a what-if plays out
    where no plans are given; `read(observation, text)`, the inverse of its wording; and
    `action_names` and `state_names`, what each number is and its unit: "speed, m/s".
    """

    @property
    def action_space(self) -> gym.Space[Any]:
        """The actions that can be worded."""
        ...

    @property
    def state_space(self) -> gym.spaces.Box:
        """The commanded state, float32; shape (0,) if the prompter keeps none."""
        ...

    @property
    def seconds_per_step(self) -> float | None:
        """How long an action is held, in seconds; None where the model has no clock."""
        ...

    def begin(self, values: Mapping[str, float]) -> State:
        """Gives the commanded state at the start of an episode.

        Args:
            values: Named initial values, in the prompter's units; what is not named starts at the
                prompter's default.

        Raises:
            InvalidConfig: A name is not one the prompter keeps.
        """
        ...

    def __call__(self, observation: Observation, action: Any) -> tuple[str, State]:
        """Words an action, and gives the commanded state after it.

        Raises:
            InvalidAction: The action does not lie in `action_space`.
        """
        ...


@runtime_checkable
class Scenario(Protocol):
    """Where an episode begins and what counts in it.

    It may also have an `instruction`, what it asks of the agent in words, and a method
    `succeeded(reward, terminated)`, which tells by a step's score whether the goal is reached:
    True, False, or None where there is no goal.
    """

    def begin(self, rng: np.random.Generator) -> tuple[Frame, Mapping[str, float]]:
        """Gives a first frame and named initial values for the prompter's state."""
        ...

    def score(
        self, before: Observation, action: Any, prediction: Prediction, after: Observation
    ) -> tuple[float, bool]:
        """Judges one step: (reward, terminated)."""
        ...


@runtime_checkable
class Policy(Protocol):
    """Who acts: made once for a run, and asked for many rows at a time.

    A row has one episode after the other, and rows come and go: each gets what it would get alone.
    """

    @property
    def identity(self) -> Mapping[str, Any]:
        """Who acts: at least `name`; JSON values only (for the log)."""
        ...

    def begin(self, seeds: Mapping[int, int], *, instruction: str = "") -> None:
        """Begins an episode in some rows; what was remembered of these is forgotten.

        Args:
            seeds: By row, the seed of all that is drawn in its episode.
            instruction: What the scenario asks of the agent, in words; empty where it asks nothing.
        """
        ...

    def act(self, observations: Sequence[Observation], rows: Sequence[int]) -> Sequence[Any]:
        """Chooses for some rows that were begun.

        Args:
            observations: What is seen in each row.
            rows: Which they are.

        Returns:
            For each row an action, or a `Chunk` of those to take before it is asked again.
        """
        ...
