"""Plans: fixed beforehand, read from a file, suggested by a prompter, or decided by a policy."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from chronosim.errors import InvalidConfig
from chronosim.files import read_file, user_path
from chronosim.prompters.wording import suggested
from chronosim.protocols import Prompter
from chronosim.settings.safe_yaml import check_events
from chronosim.types import Observation


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What to do at each step.

    Attributes:
        name: Of the plan and its branch; a few words at most.
        steps: Number of steps, >= 1.
        act: Gives the action at an observation and a depth; called once for each depth from 0 to
            `steps` - 1, in order.

    Raises:
        InvalidConfig: The plan has no name or no step.
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
        """Makes a plan from fixed actions."""
        return Plan(name, len(actions), lambda _, depth: actions[depth])

    @staticmethod
    def following(name: str, policy: Callable[[Observation], Any], steps: int) -> Plan:
        """Makes a plan that follows a policy."""
        return Plan(name, steps, lambda observation, _: policy(observation))


_MOST = 8  # default plans
_VALUES = 1_000_000  # in a file of plans
_KEYS = {"action", "steps"}


def read_plans(path: str | Path) -> dict[str, list[Any]]:
    """Reads plans from a file.

    The file maps names to plans. A plan is a list of actions, one for each step; `{action: ...,
    steps: 3}` holds one for so many steps, and may stand alone::

        left: {action: [-0.4, 0.1, 0], steps: 5}
        swerve:
          - [-0.5, 0.1, 0]
          - {action: [0.5, 0.1, 0], steps: 2}

    Args:
        path: Ends in .json for JSON; anything else is YAML.

    Returns:
        The actions of each plan, by name, as the file has them.

    Raises:
        InvalidConfig: The file is missing, cannot be read, or holds something else.
    """
    path = user_path(path)
    try:
        text = read_file(path).decode("utf-8")
        if path.suffix != ".json":
            check_events(text, f"the plans in {path}", _VALUES)
        found = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except InvalidConfig:
        raise
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        why = " ".join(str(error).split())
        raise InvalidConfig(f"the plans in {path} cannot be read: {why}") from error
    if not isinstance(found, Mapping) or not found:
        raise InvalidConfig(f"{path} must map the names of plans to their actions, not {found!r}")
    for name in found:
        if not isinstance(name, str | int) or isinstance(name, bool):
            raise InvalidConfig(f"YAML reads the name of a plan as {name!r}: put it in quotes")
    return {str(name): _actions(str(name), plan) for name, plan in found.items()}


def default_plans(prompter: Prompter, observation: Observation, steps: int) -> dict[str, list[Any]]:
    """Gives up to 8 plans that differ clearly, each one action held, as `suggested` names them.

    Args:
        prompter: Whose actions; it suggests them by a method `suggest(observation)`, if it has one.
        observation: The moment that the plans start from.
        steps: For how many steps each action is held.

    Raises:
        InvalidConfig: The prompter suggests nothing, and no actions can be made of its space.
    """
    held = list(suggested(prompter, observation).items())[:_MOST]
    return {name: [action] * steps for name, action in held}


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
