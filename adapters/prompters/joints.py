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

from chronosim.errors import InvalidConfig
from chronosim.prompters.end_effector import Gripper
from chronosim.prompters.wording import (
    Sentence,
    begin_state,
    check_action,
    check_limits,
    check_read,
    check_wording,
    listed,
    make_value,
)
from chronosim.types import Observation, State

_WORDS = ("sentence", "joint", "still", "gripper")


@dataclass(frozen=True, slots=True)
class Joints:
    """Sends each joint of a robot to an angle, and its gripper to an opening.

    The action is float32 (n + 1,): the target of each joint in rad, in the order and within the
    limits of `joints`, by the robot's own zero and sign; then the target opening of the gripper, 0
    (closed) to 1. The commanded state is the same n + 1 numbers: each joint is taken to arrive.

    The words mention only joints that turn by `resolution` or more. The wording is data: `sentence`
    with the gaps `robot`, `joints` and `gripper`; `joint` with the gaps `name`, `before` and
    `after`, in degrees; `still` where none turns; `gripper`: `open`, `close`, `keep`, and `part`
    with a `{}` for percents. The inverse, `read`, is exact to the resolution.

    Attributes:
        robot: The robot's name: "Franka Panda".
        joints: Lowest and highest angle of each joint in rad, by the joint's name.
        home: Default beginning of an episode: an angle for each joint, and the opening.
        wording: The words.
        seconds_per_step: Duration of one action, in seconds, > 0.
        resolution: Degrees, a whole number of 1 or more.

    Raises:
        InvalidConfig: The wording has not exactly these keys, a joint has no range, home does not
            suit the joints, or a limit is not positive.
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
    def action_names(self) -> tuple[str, ...]:
        """What each number of an action is, with its unit."""
        return (*(f"{name}, rad" for name in self.joints), "gripper open")

    @property
    def state_names(self) -> tuple[str, ...]:
        """What each number of the commanded state is, with its unit."""
        return self.action_names

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
        """Starts at the joints' angles and `opening`, by default those of `home`.

        Raises:
            InvalidConfig: Another name, or a value outside its limits.
        """
        usual = dict(zip((*self.joints, "opening"), map(float, self.home), strict=True))
        return begin_state(values, usual, self.state_space)

    def __call__(self, observation: Observation, action: Any) -> tuple[str, State]:
        """Words which joints turn, from and to which angle, and what the gripper does.

        Raises:
            InvalidAction: Not float (n + 1,), NaN, or outside the joints' limits.
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
        """Returns the action that a text words at an observation; joints left out stay.

        Raises:
            InvalidPrompt: The text does not have this wording.
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
        return check_read(self, observation, action, text)

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
