"""Words where the joints of a named robot go, keeping their angles."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
from jaxtyping import Float32

from chronosim.errors import InvalidConfig, InvalidPrompt
from chronosim.prompters.end_effector import Gripper
from chronosim.prompters.wording import (
    Sentence,
    begin_state,
    check_action,
    check_limits,
    check_wording,
    listed,
    make_value,
)
from chronosim.types import Observation, State

__all__ = ["Joints"]

_WORDS = ("sentence", "joint", "still", "gripper")


@dataclass(frozen=True, slots=True)
class Joints:
    """Sends each joint of a robot to an angle, and its gripper to an opening.

    The action is float32 (n + 1,): the target of each joint in rad, in the order and within the
    limits of `joints`, by the robot's own zero and sign; then how far the gripper shall be open, 0
    (closed) to 1. The commanded state is the same n + 1 numbers: each joint is taken to arrive.

    Only joints that turn far enough to be told (`resolution`) are mentioned, with the way and the
    target. The wording is data: `sentence` with the gaps `robot`, `joints` and `gripper`; `joint`
    with the gaps `name`, `before` and `after`, in degrees; `still`, where none turns; `gripper`:
    `open`, `close`, `keep`, and `part` with a `{}` for percents. The inverse, `read`, is exact to
    the resolution.

    Attributes:
        robot: What the robot is called: "Franka Panda".
        joints: Least and most of each joint in rad, by the joint's name.
        home: Where an episode begins if nobody says: an angle for each joint, and the opening.
        wording: The words.
        seconds_per_step: How long one action takes, in seconds, > 0.
        resolution: Degrees; a whole number of 1 or more.

    Raises:
        InvalidConfig: The wording lacks something or has too much, a joint has no range, home is
            none, or a limit is not positive.
    """

    robot: str
    joints: Mapping[str, Sequence[float]]
    home: Sequence[float]
    wording: Mapping[str, Any]
    seconds_per_step: float = 1.0
    resolution: int = 1
    _sentence: Sentence = field(init=False, repr=False, compare=False)
    _joint: Sentence = field(init=False, repr=False, compare=False)
    _gripper: Gripper = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_limits(seconds_per_step=self.seconds_per_step, resolution=self.resolution)
        check_wording(self.wording, _WORDS)
        for name, limits in self.joints.items():
            if len(limits) != 2 or not limits[0] < limits[1]:
                raise InvalidConfig(f"{name} needs least and most in rad, not {limits}")
        made = {
            "_sentence": Sentence(self.wording["sentence"], ("robot", "joints", "gripper")),
            "_joint": Sentence(self.wording["joint"], ("name", "before", "after")),
            "_gripper": make_value(Gripper, self.wording["gripper"], "the gripper"),
        }
        for name, value in made.items():
            object.__setattr__(self, name, value)
        if len(self.home) != len(self.joints) + 1:
            raise InvalidConfig(
                f"home needs {len(self.joints)} angles and an opening, not {len(self.home)} numbers"
            )
        self.begin({})

    @property
    def action_space(self) -> gym.spaces.Box:
        """Targets of the joints, rad, and opening, 0 to 1: float32 (n + 1,)."""
        limits = np.array([*self.joints.values(), (0, 1)], np.float32)
        return gym.spaces.Box(limits[:, 0], limits[:, 1], dtype=np.float32)

    @property
    def state_space(self) -> gym.spaces.Box:
        """Commanded angles, rad, and opening, 0 to 1: float32 (n + 1,)."""
        return self.action_space

    def begin(self, values: Mapping[str, float]) -> State:
        """Starts with the angles named by joint, and `opening`; what is not named is home's.

        Raises:
            InvalidConfig: Another name, or a value out of its limits.
        """
        usual = dict(zip((*self.joints, "opening"), map(float, self.home), strict=True))
        return begin_state(values, usual, self.state_space)

    def __call__(self, observation: Observation, action: Any) -> tuple[str, State]:
        """Words which joints turn, from where and to where, and what the gripper does.

        Raises:
            InvalidAction: Not float (n + 1,), NaN, or out of the joints' limits.
        """
        target = np.asarray(check_action(action, self.action_space), np.float32)
        state = observation.state
        turns = [
            self._joint.fill(name=name, before=str(before), after=str(after))
            for name, before, after in zip(
                self.joints, self._degrees(state[:-1]), self._degrees(target[:-1]), strict=True
            )
            if before != after
        ]
        text = self._sentence.fill(
            robot=self.robot,
            joints=listed(turns) or str(self.wording["still"]),
            gripper=self._gripper.say(float(state[-1]), float(target[-1])),
        )
        return text, target

    def read(self, observation: Observation, text: str) -> Float32[np.ndarray, " action"]:
        """Gives the action that a text means; a joint that it leaves out stays.

        Args:
            observation: What it was said of.
            text: The words.

        Raises:
            InvalidPrompt: The text is not of this wording.
        """
        said, state = self._sentence.read(text), observation.state
        action = state.copy()
        for index, (name, before) in enumerate(
            zip(self.joints, self._degrees(state[:-1]), strict=True)
        ):
            after = self._read_joint(said["joints"], name, before)
            if after is not None:
                action[index] = math.radians(after)
        action[-1] = self._gripper.read(float(state[-1]), said["gripper"])
        space = self.action_space
        action = np.clip(action, space.low, space.high)
        if self(observation, action)[0] != text:
            raise InvalidPrompt(f"{text!r} is not what this prompter says of any action here")
        return action

    def suggest(self, observation: Observation) -> dict[str, Float32[np.ndarray, " action"]]:
        """Suggests to hold still, to turn each joint by 30 degrees, and to use the gripper."""
        still, space = observation.state.copy(), self.action_space
        found = {"still": still}
        for index, name in enumerate((*self.joints, "gripper")):
            turn = np.float32(math.radians(30)) if name in self.joints else np.float32(1)
            found[name] = still.copy()
            room = still[index] + turn <= space.high[index]
            found[name][index] += turn if room else -turn
            found[name] = np.clip(found[name], space.low, space.high)
        return found

    def _read_joint(self, words: str, name: str, before: int) -> int | None:
        """The degrees that a joint turns to; None where it is not mentioned."""
        said = self._joint.fill(name=name, before=str(before), after="{}").split("{}")
        pattern = r"(-?\d+)".join(map(re.escape, said))
        found = re.search(rf"(?<!\w){pattern}(?!\w)", words)
        return None if found is None else int(found[1])

    def _degrees(self, angles: Float32[np.ndarray, " joints"]) -> list[int]:
        step = self.resolution
        return [round(math.degrees(float(angle)) / step) * step for angle in angles]
