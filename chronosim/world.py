"""The one machine that begins episodes and takes steps; whoever steps a world calls it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from numbers import Real
from time import perf_counter
from typing import Any

import numpy as np

from chronosim.errors import InvalidConfig
from chronosim.frames import fit_frame
from chronosim.protocols import Prompter, Scenario, WorldModel, ask
from chronosim.seeds import draw_noise, noise_seed
from chronosim.types import EditPrompt, Frame, Guard, Observation, Prediction, State, Step


@dataclass(frozen=True, slots=True)
class World:
    """A model, a prompter and a scenario; it remembers nothing, so any state can be branched.

    Attributes:
        model: How the world moves.
        prompter: How an action is worded.
        scenario: Where an episode begins and what counts; None: it begins where it is told to, and
            every reward is 0.
        horizon: Steps after which an episode is truncated; None for endless.
        guard: Looks at each outcome, and may give a reason to truncate the episode there; None
            lets every frame pass.
        frame_size: (height, width) that first frames are fitted to, once; None takes them as they
            are.

    Raises:
        InvalidConfig: `horizon` is below 1.
    """

    model: WorldModel
    prompter: Prompter
    scenario: Scenario | None = None
    horizon: int | None = None
    guard: Guard | None = None
    frame_size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.horizon is not None and self.horizon < 1:
            raise InvalidConfig(
                f"horizon must be 1 step or more, or None for endless: {self.horizon}"
            )

    @property
    def instruction(self) -> str:
        """What the scenario asks of the agent, in words; empty where it asks nothing."""
        return str(getattr(self.scenario, "instruction", ""))

    def begin(
        self,
        rng: np.random.Generator,
        *,
        frame: Frame | None = None,
        values: Mapping[str, float] | None = None,
    ) -> tuple[Observation, int]:
        """Begins an episode: the scenario draws, then the noise is drawn.

        Args:
            rng: What both draw from; `chronosim.seeds.generator(seed)` for a seed.
            frame: A first frame of one's own, uint8 (height, width, 3); the scenario's values
                belong to its own frame, and are then left out.
            values: Initial values by name, in the prompter's units, instead of the scenario's.

        Returns:
            The first observation, and the seed that the noise of every step follows from: that of
            step d is `noise_seed(noise, d)`.

        Raises:
            InvalidConfig: There is neither a scenario nor a frame, or a value is no number or of a
                name that the prompter does not keep.
            InvalidFrame: The frame is not RGB uint8.
        """
        own: tuple[Frame | None, Mapping[str, float]] = (frame, {})
        if self.scenario is not None:
            drawn = self.scenario.begin(rng)
            own = drawn if frame is None else own
        if own[0] is None:
            raise InvalidConfig("a world without a scenario begins with a frame: pass frame=")
        state = self.prompter.begin(own[1] if values is None else _numbers(values))
        # Observation checks the frame before it is fitted: it may be anything that a user gave.
        first = Observation(own[0]).frame
        if self.frame_size is not None:
            first = fit_frame(first, self.frame_size)
        return Observation(first.copy(), state), draw_noise(rng)

    def step(self, observation: Observation, action: Any, *, seed: int) -> Step:
        """Takes one action.

        Args:
            observation: Where the world stands.
            action: Held for one step; it lies in the prompter's action space.
            seed: Seed of the model's noise.

        Raises:
            ChronosimError: As `advance`.
        """
        return self.advance([observation], [action], seeds=[seed])[0]

    def advance(
        self, observations: Sequence[Observation], actions: Sequence[Any], *, seeds: Sequence[int]
    ) -> list[Step]:
        """Takes one action in each of several rows, by one call of the model.

        Args:
            observations: Where each row stands.
            actions: One for each row.
            seeds: Seeds of the model's noise, one for each row.

        Returns:
            The step that each row took, scored, with the latency of the whole call.

        Raises:
            InvalidAction: An action does not lie in the prompter's action space.
            InvalidFrame: A frame is not of a size the model works at.
            InvalidPrompt: The model cannot read the prompter's words.
            InvalidModel: The model broke its contract.
        """
        began = perf_counter()
        prompts, states = [], []
        for observation, action, seed in zip(observations, actions, seeds, strict=True):
            text, state = self.prompter(observation, action)
            prompts.append(EditPrompt(observation.frame, text, seed))
            states.append(state)
        predictions = self._predict(prompts)
        latency = perf_counter() - began
        return [
            self.judge(before, action, prompt.seed, prediction, state, latency=latency)
            for before, action, prompt, prediction, state in zip(
                observations, actions, prompts, predictions, states, strict=True
            )
        ]

    def judge(
        self,
        before: Observation,
        action: Any,
        seed: int,
        prediction: Prediction,
        state: State,
        *,
        latency: float = float("nan"),
    ) -> Step:
        """Makes a step of what a model, or the real world, answered: the scenario scores it.

        Args:
            before: What was seen before the action.
            action: What was done.
            seed: Of the noise; any number where there was none.
            prediction: What came of it.
            state: The commanded state after the action.
            latency: Seconds that the answer took.
        """
        after = Observation(prediction.frame, state, before.step + 1)
        reward, terminated = 0.0, False
        if self.scenario is not None:
            reward, terminated = self.scenario.score(before, action, prediction, after)
        succeeded = getattr(self.scenario, "succeeded", None)
        reason = None if terminated else self._truncation(after)
        return Step(
            before=before,
            action=action,
            text=prediction.text or "",
            seed=seed,
            prediction=prediction,
            after=after,
            reward=float(reward),
            terminated=terminated,
            truncated=reason is not None,
            latency=latency,
            truncation_reason=reason,
            success=None if succeeded is None else succeeded(reward, terminated),
        )

    def imagine(self, observation: Observation, plan: Sequence[Any], *, seed: int) -> list[Step]:
        """Plays out a plan.

        Args:
            observation: Where the world stands.
            plan: Actions, one after the other.
            seed: Seed of the plan; the noise at depth d is `noise_seed(seed, d)`.

        Returns:
            A step for each action; ends are told, and not obeyed.

        Raises:
            ChronosimError: As `advance`.
        """
        return self.what_if(observation, [plan], seed=seed)[0]

    def what_if(
        self, observation: Observation, plans: Sequence[Sequence[Any]], *, seed: int
    ) -> list[list[Step]]:
        """Plays out several plans from one observation, by one call of the model per depth.

        All branches meet the same noise at the same depth, so they differ only by their actions.

        Args:
            observation: Where the world stands.
            plans: Sequences of actions; their lengths may differ.
            seed: Seed of all plans; the noise at depth d is `noise_seed(seed, d)`.

        Returns:
            One branch for each plan, as `imagine` gives it.

        Raises:
            ChronosimError: As `advance`.
        """
        branches: list[list[Step]] = [[] for _ in plans]
        for depth in range(max(map(len, plans), default=0)):
            alive = [index for index, plan in enumerate(plans) if depth < len(plan)]
            steps = self.advance(
                [branches[index][-1].after if depth else observation for index in alive],
                [plans[index][depth] for index in alive],
                seeds=[noise_seed(seed, depth)] * len(alive),
            )
            for index, step in zip(alive, steps, strict=True):
                branches[index].append(step)
        return branches

    def about(
        self, *, seed: int | None, lineage: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Gives the `about` of an episode in this world, in JSON values.

        Args:
            seed: Of the reset; None if none was given.
            lineage: Of a fork: the `episode` it comes from, at which `step`, and which `branch` of
                that episode it is, counted from 1.
        """
        return {
            "source": "chronosim",
            "version": version("chronosim"),
            "synthetic": True,
            "model": dict(self.model.identity),
            "prompter": repr(self.prompter),
            "scenario": repr(self.scenario),
            "seconds_per_step": self.prompter.seconds_per_step,
            "seed": seed,
            "lineage": None if lineage is None else dict(lineage),
        }

    def _truncation(self, after: Observation) -> str | None:
        """Why an episode is cut here; the guard is asked first: a horizon says nothing of frames.

        It counts by `Observation.step`, so a fork carries its elapsed steps along.
        """
        reason = None if self.guard is None else self.guard(after.frame)
        if reason is None and self.horizon is not None and after.step >= self.horizon:
            return "horizon"
        return reason

    def _predict(self, prompts: list[EditPrompt]) -> list[Prediction]:
        """Asks the model, and fills in the words where it left them."""
        if not prompts:
            return []
        return [
            prediction if prediction.text is not None else replace(prediction, text=prompt.text)
            for prompt, prediction in zip(prompts, ask(self.model, prompts), strict=True)
        ]


def _numbers(values: Any) -> Mapping[str, float]:
    """Initial values as they were given, if they can be any."""
    named = isinstance(values, Mapping)
    if not named or not all(isinstance(value, Real) for value in values.values()):
        raise InvalidConfig(f"initial values are numbers by name, not {values!r}")
    return values
