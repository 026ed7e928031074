"""Plans: fixed beforehand, read from a file, taken from a log, or decided by a policy."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import yaml  # type: ignore[import-untyped]

from chronosim.episodes import EpisodeReader, Step
from chronosim.errors import InvalidConfig, InvalidEpisode
from chronosim.simulator import Simulator
from chronosim.types import Observation
from chronosim.whatif.store import took_steps

__all__ = ["Logged", "Plan", "contrasts", "read_moment", "read_plans"]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What to do at each step.

    Attributes:
        name: What its branch is called; one word or a few.
        steps: For how many steps it says what to do, >= 1.
        act: Gives the action at an observation and a depth, 0 to `steps` - 1; asked once each, in
            order.

    Raises:
        InvalidConfig: It has no name, or no step.
    """

    name: str
    steps: int
    act: Callable[[Observation, int], Any]

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise InvalidConfig("a plan needs a name that can be read")
        if self.steps < 1:
            raise InvalidConfig(f"the plan {self.name!r} needs an action or more, not {self.steps}")

    @staticmethod
    def of(name: str, actions: Sequence[Any]) -> Plan:
        """Makes a plan of its actions, whatever is seen."""
        return Plan(name, len(actions), lambda _, depth: actions[depth])

    @staticmethod
    def following(name: str, policy: Callable[[Observation], Any], steps: int) -> Plan:
        """Makes a plan of a policy, which decides by what it sees on the way."""
        return Plan(name, steps, lambda observation, _: policy(observation))


_MOST = 8  # plans that are made of a space by themselves
_KEYS = {"action", "steps"}


def read_plans(path: str | Path) -> dict[str, list[Any]]:
    """Reads plans from a file.

    It maps names to plans. A plan is a list with what to do at each step: an action, or `{action:
    ..., steps: 3}` for one that is held for so many; or one of the latter alone::

        left: {action: [-0.4, 0.1, 0], steps: 5}
        swerve:
          - [-0.5, 0.1, 0]
          - {action: [0.5, 0.1, 0], steps: 2}

    Args:
        path: Ends in .json for JSON; anything else is YAML.

    Returns:
        The actions of each plan, by name, as the file has them.

    Raises:
        InvalidConfig: There is no such file, it cannot be read, or it holds something else.
    """
    path = Path(path).expanduser()
    try:
        text = path.read_text(encoding="utf-8")
        found = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        why = " ".join(str(error).split())
        raise InvalidConfig(f"the plans in {path} cannot be read: {why}") from error
    if not isinstance(found, Mapping) or not found:
        raise InvalidConfig(f"{path} must map the names of plans to their actions, not {found!r}")
    for name in found:
        if not isinstance(name, str | int) or isinstance(name, bool):
            raise InvalidConfig(f"YAML reads the name of a plan as {name!r}: put it in quotes")
    return {str(name): _actions(str(name), plan) for name, plan in found.items()}


def contrasts(space: gym.Space[Any], steps: int) -> dict[str, list[Any]]:
    """Gives plans that show what an action space can do: each holds one action.

    Of numbers each goes to its least and its most, the others staying at 0, or at their middle
    where 0 lies outside; of choices each is a plan.

    Args:
        space: Box (bounded, of one axis) or Discrete.
        steps: For how many steps each action is held.

    Raises:
        InvalidConfig: The space is of another kind.
    """
    held: dict[str, Any]
    if isinstance(space, gym.spaces.Discrete):
        first = int(space.start)
        held = {f"choice {value}": value for value in range(first, first + int(space.n))}
    elif isinstance(space, gym.spaces.Box) and space.is_bounded() and len(space.shape) == 1:
        held = _corners(space.low.astype(float), space.high.astype(float))
    else:
        raise InvalidConfig(f"no plans can be made of {space} by themselves: give plans=")
    return {name: [action] * steps for name, action in list(held.items())[:_MOST]}


def _corners(low: np.ndarray, high: np.ndarray) -> dict[str, list[float]]:
    still = np.where((low <= 0) & (high >= 0), 0.0, (low + high) / 2)
    found = {"still": still.tolist()}
    for index in range(len(still)):
        for bound in (low, high):
            if bound[index] != still[index]:
                action = still.copy()
                action[index] = bound[index]
                found[f"number {index} at {bound[index]:g}"] = action.tolist()
    return found


def _actions(name: str, plan: Any) -> list[Any]:
    """A plan's actions, one for each step."""
    entries = [plan] if isinstance(plan, Mapping) else plan
    if not isinstance(entries, Sequence) or isinstance(entries, str) or not entries:
        raise InvalidConfig(f"the plan {name!r} must be a list of actions, not {plan!r}")
    actions: list[Any] = []
    for entry in entries:
        if not isinstance(entry, Mapping):
            actions.append(entry)
            continue
        steps = entry.get("steps")
        if (
            set(entry) != _KEYS
            or not isinstance(steps, int)
            or isinstance(steps, bool)
            or steps < 1
        ):
            raise InvalidConfig(
                f"the plan {name!r} holds actions as {{action: ..., steps: 3}}, not {dict(entry)!r}"
            )
        actions += [entry["action"]] * steps
    return actions


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
