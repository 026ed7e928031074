"""The contract of each seam as a runnable check, and two world models that need no weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from chronosim.episodes import EpisodeReader
from chronosim.errors import InvalidAction, InvalidConfig, InvalidModel, InvalidPrompt
from chronosim.protocols import Policy, Prompter, Scenario, WorldModel, no_nan
from chronosim.types import Chunk, EditPrompt, Frame, Observation, Prediction

__all__ = [
    "EchoModel",
    "ReplayModel",
    "check_policy",
    "check_prompter",
    "check_scenario",
    "check_world_model",
]


@dataclass(frozen=True, slots=True)
class EchoModel:
    """Answers with the observed frame: the copy-last-frame baseline that a model has to beat.

    Attributes:
        time: Length of the trajectories, >= 1.

    Raises:
        InvalidConfig: `time` is below 1.
    """

    time: int = 1

    def __post_init__(self) -> None:
        if self.time < 1:
            raise InvalidConfig(f"an EchoModel answers with 1 frame or more, not {self.time}")

    @property
    def identity(self) -> dict[str, Any]:
        """Name and length of the trajectories."""
        return {"name": "echo", "time": self.time}

    def predict(self, prompts: Sequence[EditPrompt]) -> list[Prediction]:
        """Repeats each prompt's frame `time` times."""
        return [Prediction(np.repeat(prompt.frame[None], self.time, 0)) for prompt in prompts]


class ReplayModel:
    """Answers from logged episodes: the step with the same observed frame and words.

    Where several steps match, one with the prompt's seed is preferred, then the earliest.

    Args:
        episodes: Folders of episodes.

    Raises:
        EpisodeNotFound: There is no episode in a folder.
        InvalidEpisode: An episode cannot be read.
    """

    def __init__(self, *episodes: str | Path) -> None:
        self._readers = [EpisodeReader(path) for path in episodes]
        self._steps: dict[bytes, list[tuple[EpisodeReader, int, int]]] = {}
        for reader in self._readers:
            if not reader.steps:
                continue
            columns = zip(reader.frames, reader.column("text"), reader.column("seed"), strict=False)
            for index, (frame, text, seed) in enumerate(columns):
                place = (reader, index, int(seed))
                self._steps.setdefault(_digest(frame, str(text)), []).append(place)

    @property
    def identity(self) -> dict[str, Any]:
        """Name, and the episodes' names."""
        return {"name": "replay", "episodes": [reader.path.name for reader in self._readers]}

    def predict(self, prompts: Sequence[EditPrompt]) -> list[Prediction]:
        """Looks up each prompt.

        Raises:
            InvalidPrompt: No logged step has this frame and these words.
        """
        return [self._answer(prompt) for prompt in prompts]

    def _answer(self, prompt: EditPrompt) -> Prediction:
        places = self._steps.get(_digest(prompt.frame, prompt.text))
        if not places:
            raise InvalidPrompt(
                f"none of the {len(self._readers)} replayed episodes has a step with this frame "
                f"and the words {prompt.text!r}; replay the actions they were logged with"
            )
        reader, index, _ = next((place for place in places if place[2] == prompt.seed), places[0])
        return Prediction(reader.trajectory(index))


def check_world_model(
    model: WorldModel, prompts: Sequence[EditPrompt], *, tolerance: float = 0.0
) -> None:
    """Checks a world model's contract on prompts that it is meant to understand.

    Args:
        model: The world model.
        prompts: Two or more, of different frames or words.
        tolerance: By how many grey levels a pixel may differ between a prompt alone and in a call.

    Raises:
        AssertionError: Names the clause that the model breaks.
    """
    _demand(isinstance(model, WorldModel), "it has `identity` and `predict`")
    identity = dict(model.identity)
    _demand(isinstance(identity.get("name"), str), "`identity` has a name")
    json.dumps(identity)
    _demand(model.predict([]) == [], "no prompts get no predictions")

    asked = [prompt.frame.copy() for prompt in prompts]
    try:
        with no_nan(model):
            together = model.predict(prompts)
    except InvalidModel as error:
        raise AssertionError(f"contract broken: frames are made of numbers: {error}") from error
    _demand(isinstance(together, list), "predictions come as a list")
    _demand(len(together) == len(prompts), "each prompt gets one prediction")
    for prompt, frame, prediction in zip(prompts, asked, together, strict=True):
        _demand(np.array_equal(prompt.frame, frame), "a prompt's frame is left as it is")
        _demand(prediction.trajectory.dtype == np.uint8, "trajectories are uint8")
        _demand(prediction.frame.shape == frame.shape, "frames keep the prompt's size")
        _demand(
            not np.shares_memory(prediction.trajectory, prompt.frame),
            "a prediction has memory of its own",
        )
        metrics = {name: float(value) for name, value in prediction.metrics.items()}
        _demand(not np.isnan([*metrics.values()]).any(), "metrics are numbers, none of them NaN")

    _demand(_nearest(together, model.predict(prompts), 0), "the same seed gives the same frames")
    backwards = model.predict(prompts[::-1])[::-1]
    _demand(_nearest(together, backwards, tolerance), "answers keep the order of the prompts")
    alone = [model.predict([prompt])[0] for prompt in prompts]
    _demand(_nearest(together, alone, tolerance), "a prompt alone is answered as in a call")


def check_prompter(prompter: Prompter, *, samples: int = 20) -> None:
    """Checks a prompter's contract on random actions.

    Args:
        prompter: The prompter.
        samples: How many actions to try, one after the other.

    Raises:
        AssertionError: Names the clause that the prompter breaks.
    """
    _demand(isinstance(prompter, Prompter), "it has every member of the protocol")
    space, states = prompter.action_space, prompter.state_space
    held = prompter.seconds_per_step
    _demand(held is None or held > 0, "`seconds_per_step` is positive or None")
    _demand(states.dtype == np.float32 and len(states.shape) == 1, "states are float32 vectors")
    _demand(prompter.begin({}) in states, "an episode begins within the state space")
    _refuses(InvalidConfig, lambda: prompter.begin({"no such value": 1.0}), "an unknown value")

    observation = Observation(np.zeros((96, 96, 3), np.uint8), prompter.begin({}))
    for wrong in _wrong_actions(space):
        _refuses(InvalidAction, lambda wrong=wrong: prompter(observation, wrong), f"{wrong!r}")
    for action in getattr(prompter, "suggest", lambda seen: {})(observation).values():
        prompter(observation, action)  # what it suggests, it words
    space.seed(0)
    for _ in range(samples):
        action, kept = space.sample(), observation.state.copy()
        text, state = prompter(observation, action)
        _demand(isinstance(text, str) and text.strip() != "", "an action gets words")
        _demand(state in states, "states stay within the state space")
        _demand(np.array_equal(observation.state, kept), "the observation is left as it is")
        again, state_again = prompter(observation, action)
        _demand(text == again and np.array_equal(state, state_again), "the same again is the same")
        observation = Observation(observation.frame, state, observation.step + 1)


def check_scenario(scenario: Scenario, prompter: Prompter, *, samples: int = 5) -> None:
    """Checks a scenario's contract, and that it fits a prompter.

    Args:
        scenario: The scenario.
        prompter: One that it is meant for.
        samples: How many beginnings to try.

    Raises:
        AssertionError: Names the clause that the scenario breaks.
    """
    _demand(isinstance(scenario, Scenario), "it has `begin` and `score`")
    sizes = set()
    for seed in range(samples):
        frame, values = scenario.begin(np.random.default_rng(seed))
        again, values_again = scenario.begin(np.random.default_rng(seed))
        sizes.add(frame.shape)
        _demand(np.array_equal(frame, again) and values == values_again, "the same rng is the same")
        _demand(not np.shares_memory(frame, again), "a first frame has memory of its own")
        before = Observation(frame, prompter.begin(values))
        _demand(before.state in prompter.state_space, "initial values suit the prompter")
        _check_score(scenario, prompter, before)
    _demand(len(sizes) == 1, "all first frames are of one size")


def check_policy(
    policy: Policy,
    prompter: Prompter,
    observations: Sequence[Observation],
    *,
    rows: int = 8,
    tolerance: float = 0.0,
) -> None:
    """Checks a policy's contract.

    Args:
        policy: The policy; plain callables and classes are made into one by
            `chronosim.policies.as_policy`.
        prompter: Whose actions it chooses.
        observations: Two or more of what it is meant to see.
        rows: How many rows to ask it for at once.
        tolerance: By how much a number of an action may differ between a row alone and in a batch.

    Raises:
        AssertionError: Names the clause that the policy breaks.
    """
    _demand(isinstance(policy, Policy), "it has `identity`, `begin` and `act`")
    identity = dict(policy.identity)
    _demand(isinstance(identity.get("name"), str), "`identity` has a name")
    json.dumps(identity)
    kept = [(one.frame.copy(), one.state.copy()) for one in observations]
    seeds = {row: 100 + row for row in range(rows)}
    together = _chosen(policy, seeds, observations)
    for action in (action for turns in together.values() for turn in turns for action in turn):
        _demand(action in prompter.action_space, f"{action!r} lies in the action space")
    same = all(
        np.array_equal(one.frame, frame) and np.array_equal(one.state, state)
        for one, (frame, state) in zip(observations, kept, strict=True)
    )
    _demand(same, "observations are left as they are")
    _demand(dict(policy.identity) == identity, "`identity` stays as it is")
    again = _chosen(policy, seeds, observations)
    _demand(_alike(together, again, 0.0), "the same seeds give the same actions")
    backwards = _chosen(policy, dict(reversed(seeds.items())), observations)
    _demand(_alike(together, backwards, tolerance), "answers keep the order of the rows")
    for row, seed in seeds.items():
        alone = _chosen(policy, {row: seed}, observations)
        _demand(_alike({row: together[row]}, alone, tolerance), "a row alone acts as in a batch")
    mixed = _chosen(policy, seeds, observations, anew=0)
    expected = {**together, 0: together[0][:1]}
    _demand(_alike(expected, mixed, tolerance), "a row that begins anew leaves the others alone")


def _chosen(
    policy: Policy,
    seeds: Mapping[int, int],
    observations: Sequence[Observation],
    *,
    anew: int | None = None,
) -> dict[int, list[list[Any]]]:
    """What each row does in two turns; row `anew` begins a second time between them."""
    chosen: dict[int, list[list[Any]]] = {row: [] for row in seeds}
    policy.begin(seeds, instruction="go on")
    for turn in range(2):
        if turn and anew is not None:
            policy.begin({anew: seeds[anew]}, instruction="go on")
            chosen[anew] = []
        rows = list(seeds)
        seen = [observations[(row + len(chosen[row])) % len(observations)] for row in rows]
        answers = policy.act(seen, rows)
        _demand(len(answers) == len(rows), "each row gets one answer")
        for row, answer in zip(rows, answers, strict=True):
            chosen[row].append([*answer.actions] if isinstance(answer, Chunk) else [answer])
    return chosen


def _alike(
    ours: Mapping[int, list[list[Any]]], theirs: Mapping[int, list[list[Any]]], tolerance: float
) -> bool:
    """Whether the same rows did the same."""
    return all(_same_turns(ours[row], theirs[row], tolerance) for row in ours)


def _same_turns(turns: list[list[Any]], others: list[list[Any]], tolerance: float) -> bool:
    ours, theirs = (list(chain.from_iterable(one)) for one in (turns, others))
    return len(ours) == len(theirs) and all(
        one == other if isinstance(one, str) else np.allclose(one, other, rtol=0, atol=tolerance)
        for one, other in zip(ours, theirs, strict=True)
    )


def _check_score(scenario: Scenario, prompter: Prompter, before: Observation) -> None:
    action = prompter.action_space.sample()
    _, state = prompter(before, action)
    for outcome in (before.frame, np.zeros_like(before.frame)):
        prediction = Prediction(outcome[None].copy())
        kept, after = prediction.trajectory.copy(), Observation(prediction.frame, state, 1)
        reward, terminated = scenario.score(before, action, prediction, after)
        _demand(isinstance(reward, float) and np.isfinite(reward), "a reward is a finite float")
        _demand(isinstance(terminated, bool), "`terminated` is a bool")
        _demand(np.array_equal(kept, prediction.trajectory), "the prediction is left as it is")
        again = scenario.score(before, action, prediction, after)
        _demand(again == (reward, terminated), "the same step scores the same")


def _wrong_actions(space: gym.Space[Any]) -> list[Any]:
    """Actions that do not lie in the space: nothing at all, and where it has a shape worse."""
    if not isinstance(space, gym.spaces.Box):
        return [None]
    return [None, np.full(space.shape, np.nan, np.float32), np.zeros((*space.shape, 2), np.float32)]


def _nearest(ours: list[Prediction], theirs: list[Prediction], tolerance: float) -> bool:
    return len(ours) == len(theirs) and all(
        a.trajectory.shape == b.trajectory.shape
        and np.abs(a.trajectory.astype(np.int16) - b.trajectory).max() <= tolerance
        for a, b in zip(ours, theirs, strict=True)
    )


def _refuses(error: type[Exception], call: Any, what: str) -> None:
    try:
        call()
    except error:
        return
    raise AssertionError(f"contract broken: {what} is refused with {error.__name__}")


def _demand(kept: Any, clause: str) -> None:
    # Not an assert statement: the check must also run under `python -O`.
    if not kept:
        raise AssertionError(f"contract broken: {clause}")


def _digest(frame: Frame, text: str) -> bytes:
    picture = np.ascontiguousarray(frame)
    return hashlib.sha256(f"{picture.shape} {text}".encode() + picture.tobytes()).digest()
