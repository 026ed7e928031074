"""Words how a robot arm moves, turns and closes its gripper, keeping the gripper's pose."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
from jaxtyping import Float, Float32

from chronosim.errors import InvalidConfig, InvalidPrompt
from chronosim.prompters.wording import (
    Quantity,
    Sentence,
    begin_state,
    check_action,
    check_limits,
    check_read,
    check_wording,
    listed,
    make_quantities,
    make_value,
)
from chronosim.types import Observation, State

_MOVES, _TURNS = ("x", "y", "z"), ("rx", "ry", "rz")
_WORDS = ("sentence", "move", *_MOVES, "turn", *_TURNS, "still", "gripper")


@dataclass(frozen=True, slots=True)
class EndEffector:
    """Moves a gripper by a small step, turns it, and opens or closes it.

    The action is float32 (7,): a translation x, y, z in metres (each -`largest_move` to
    `largest_move`), a rotation vector rx, ry, rz in rad (each -`largest_turn` to `largest_turn`),
    and the target opening of the gripper, 0 (closed) to 1. The axes are those of the robot's base
    (ROS REP 103): x ahead, away from the base; y to the left; z up; right-handed, so that a
    positive rz turns the gripper counterclockwise seen from above.

    The commanded state is float32 (7,): the gripper's place in metres, its rotation vector in rad,
    in the same axes, and its opening. It is dead reckoning, and saturates as controllers do: the
    gripper stops at an edge of `workspace`, and the words tell how far it gets.

    The wording is data: `sentence` with the gaps `motion` and `gripper`; `move` with a `{}` for the
    words of x, y and z, and `turn` with one for those of rx, ry and rz, each of the six a quantity;
    `still` where nothing moves; `gripper`: `open`, `close`, `keep`, and `part` with a `{}` for
    percents. The inverse, `read`, is exact to the resolution of the quantities.

    Attributes:
        wording: The words.
        workspace: Lowest and highest x, y and z, in metres.
        home: Default beginning of an episode: x, y, z, rx, ry, rz and the opening.
        seconds_per_step: Duration of one action, in seconds, > 0.
        largest_move: Metres along an axis.
        largest_turn: Radians about an axis.

    Raises:
        InvalidConfig: The wording has not exactly these keys, the workspace is empty, home lies
            outside of it, or a limit is not positive.
    """

    wording: Mapping[str, Any]
    workspace: Mapping[str, Sequence[float]]
    home: Sequence[float]
    seconds_per_step: float = 1.0
    largest_move: float = 0.1
    largest_turn: float = 0.5
    _sentence: Sentence = field(init=False, repr=False, compare=False)
    _quantities: Mapping[str, Quantity] = field(init=False, repr=False, compare=False)
    _gripper: Gripper = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_limits(
            seconds_per_step=self.seconds_per_step,
            largest_move=self.largest_move,
            largest_turn=self.largest_turn,
        )
        check_wording(self.wording, _WORDS)
        for name in ("move", "turn"):
            if self.wording[name].count("{}") != 1:
                raise InvalidConfig(f"{name} needs one {{}}, not {self.wording[name]!r}")
        if sorted(self.workspace) != sorted(_MOVES) or not all(
            len(edges) == 2 and edges[0] < edges[1] for edges in self.workspace.values()
        ):
            raise InvalidConfig(
                f"the workspace needs least and most of x, y and z, not {dict(self.workspace)}"
            )
        made = {
            "_quantities": make_quantities(self.wording, (*_MOVES, *_TURNS)),
            "_sentence": Sentence(self.wording["sentence"], ("motion", "gripper")),
            "_gripper": make_value(Gripper, self.wording["gripper"], "the gripper"),
        }
        for name, value in made.items():
            object.__setattr__(self, name, value)
        if len(self.home) != 7:
            raise InvalidConfig(f"home must be 7 numbers: x y z rx ry rz opening, not {self.home}")
        self.begin({})

    @property
    def action_names(self) -> tuple[str, ...]:
        """What each number of an action is, with its unit."""
        return (
            "forward, m",
            "left, m",
            "up, m",
            "roll, rad",
            "pitch, rad",
            "turn to the left, rad",
            "gripper open",
        )

    @property
    def state_names(self) -> tuple[str, ...]:
        """What each number of the commanded state is, with its unit."""
        return (
            "x, m",
            "y, m",
            "z, m",
            "rx, rad",
            "ry, rad",
            "rz, rad",
            "gripper open",
        )

    @property
    def action_space(self) -> gym.spaces.Box:
        """Translation, m, rotation vector, rad, and opening, 0 to 1: float32 (7,)."""
        largest = [self.largest_move] * 3 + [self.largest_turn] * 3
        low = np.array([*(-limit for limit in largest), 0], np.float32)
        return gym.spaces.Box(low, np.array([*largest, 1], np.float32), dtype=np.float32)

    @property
    def state_space(self) -> gym.spaces.Box:
        """Place, m, rotation vector, rad, and opening, 0 to 1: float32 (7,)."""
        edges = np.array([self.workspace[name] for name in _MOVES], np.float32)
        # A little beyond pi, so that float32's rounding of pi itself lies inside.
        pi = np.float32(math.pi) + np.float32(1e-5)
        low = np.array([*edges[:, 0], -pi, -pi, -pi, 0], np.float32)
        high = np.array([*edges[:, 1], pi, pi, pi, 1], np.float32)
        return gym.spaces.Box(low, high, dtype=np.float32)

    def begin(self, values: Mapping[str, float]) -> State:
        """Starts at `x`, `y`, `z`, `rx`, `ry`, `rz` and `opening`, by default those of `home`.

        Raises:
            InvalidConfig: Another name, or a value outside the state space.
        """
        usual = dict(zip((*_MOVES, *_TURNS, "opening"), map(float, self.home), strict=True))
        return begin_state(values, usual, self.state_space)

    def __call__(self, observation: Observation, action: Any) -> tuple[str, State]:
        """Words how far the gripper gets, how it turns, and what it does.

        Raises:
            InvalidAction: Not float (7,), NaN, or out of bounds.
        """
        wanted = check_action(action, self.action_space)
        before, space = observation.state, self.state_space
        place = np.clip(before[:3] + wanted[:3], space.low[:3], space.high[:3])
        turned = compose(wanted[3:6].astype(np.float64), before[3:6].astype(np.float64))
        motion = [
            self._said("move", _MOVES, place - before[:3]),
            self._said("turn", _TURNS, wanted[3:6]),
        ]
        text = self._sentence.fill(
            motion=" and ".join(filter(None, motion)) or str(self.wording["still"]),
            gripper=self._gripper.say(float(before[6]), float(wanted[6])),
        )
        return text, np.array([*place, *turned, wanted[6]], np.float32)

    def read(self, observation: Observation, text: str) -> Float32[np.ndarray, 7]:
        """Returns the action that a text words at an observation.

        Raises:
            InvalidPrompt: The text does not have this wording.
        """
        said = self._sentence.read(text)
        moves = [quantity.read(said["motion"]) or 0.0 for quantity in self._quantities.values()]
        opening = self._gripper.read(float(observation.state[6]), said["gripper"])
        return check_read(self, observation, [*moves, opening], text)

    def suggest(self, observation: Observation) -> dict[str, Float32[np.ndarray, 7]]:
        """Suggests to hold still, to move along each axis, and to close the gripper or open it."""
        still = np.array([0, 0, 0, 0, 0, 0, observation.state[6]], np.float32)
        found = {"still": still}
        axes = {"forward": 0, "left": 1, "right": 1, "up": 2, "down": 2, "back": 0}
        for name, axis in axes.items():
            found[name] = still.copy()
            away = name in ("right", "down", "back")
            found[name][axis] = -self.largest_move if away else self.largest_move
        closes = bool(observation.state[6] > 0.5)
        found["close" if closes else "open"] = np.array([*still[:6], 1 - closes], np.float32)
        return found

    def _said(self, what: str, names: Sequence[str], values: Float32[np.ndarray, 3]) -> str:
        """The words of a translation or a rotation; "" where it is too small to be worded."""
        parts = [
            self._quantities[name].say(float(value))
            for name, value in zip(names, values, strict=True)
        ]
        said = listed(list(filter(None, parts)))
        return str(self.wording[what]).format(said) if said else ""


_STEP = 5  # percent: the resolution of openings in words


@dataclass(frozen=True, slots=True)
class Gripper:
    """Words how far a gripper opens or closes.

    Attributes:
        open: Opens fully: "opens it".
        close: Closes fully: "closes it".
        keep: Stays: "keeps it as it is".
        part: Goes to an opening in percent, at the `{}`: "opens it to {}%".

    Raises:
        InvalidConfig: `part` has not exactly one `{}`, or two of the wordings are alike.
    """

    open: str
    close: str
    keep: str
    part: str

    def __post_init__(self) -> None:
        if self.part.count("{}") != 1:
            raise InvalidConfig(f"the words for a part of the way need one {{}}, not {self.part!r}")
        if len({self.open, self.close, self.keep, self.part}) < 4:
            raise InvalidConfig("a gripper's words must be told apart: open, close, keep and part")

    def say(self, before: float, after: float) -> str:
        """Words the change from one opening to another, both 0 (closed) to 1 (open)."""
        was, is_ = _percent(before), _percent(after)
        if was == is_:
            return self.keep
        if is_ in (0, 100):
            return self.open if is_ else self.close
        return self.part.format(is_)

    def read(self, before: float, text: str) -> float:
        """Returns the opening after a text, 0 to 1.

        Raises:
            InvalidPrompt: The text is none of these wordings.
        """
        known = {self.open: 1.0, self.close: 0.0, self.keep: before}
        if text in known:
            return known[text]
        found = re.fullmatch(r"(\d+)".join(map(re.escape, self.part.split("{}"))), text)
        if found is None:
            raise InvalidPrompt(f"{text!r} is none of the gripper's wordings")
        return int(found[1]) / 100


def _percent(opening: float) -> int:
    return round(opening * 100 / _STEP) * _STEP


_Vector = Float[np.ndarray, "3"]


def compose(second: _Vector, first: _Vector) -> _Vector:
    """Composes two rotations about fixed axes: `first`, then `second`.

    Args:
        second: Rotation vector, radians.
        first: Rotation vector, radians.

    Returns:
        Rotation vector of length 0 to pi.
    """
    w2, v2 = _quaternion(second)
    w1, v1 = _quaternion(first)
    w = w2 * w1 - v2 @ v1
    v = w2 * v1 + w1 * v2 + np.cross(v2, v1)
    if w < 0:  # the same rotation, the short way round
        w, v = -w, -v
    length = float(np.linalg.norm(v))
    angle = 2 * float(np.arctan2(length, w))
    return v * (angle / length) if length > 1e-12 else 2 * v


def _quaternion(rotation: _Vector) -> tuple[float, _Vector]:
    """A unit quaternion: its real and its imaginary part."""
    angle = float(np.linalg.norm(rotation))
    if angle < 1e-12:
        return 1.0, rotation / 2
    return float(np.cos(angle / 2)), rotation * (np.sin(angle / 2) / angle)
