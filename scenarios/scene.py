"""The generic scenario: first frames, a goal and a failure, put together in one YAML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from chronosim.errors import InvalidConfig, InvalidFrame
from chronosim.models.engine.sizes import AREA, read_sizing
from chronosim.scenarios.goals.criterion import Criterion, in_words
from chronosim.scenarios.goals.judged import Asks, InWords
from chronosim.scenarios.starts import Beginning, find_beginning
from chronosim.types import Frame, Observation, Prediction

_DRAWS = 1000  # beginnings to look at before it is said that none fits


@dataclass(frozen=True, slots=True)
class Scene:
    """Begins with frames of any kind; a goal and a failure say what counts.

    The reward of a step is how nearly the goal is reached, 0 to 1, and 0 where the episode failed.
    The episode terminates at a failure and, if `ends`, at the goal.

    Attributes:
        frame: First frames: an image file; a folder of them; an .npz of first frames, or the name
            of a shipped one; a recorded data set, or one of its episodes. None: the user brings it.
        goal: A `Criterion`, or a question for the judge ("Has the car stopped?"); None: every
            reward is 0.
        failure: A `Criterion` or a question; None: nothing fails.
        ends: Whether reaching the goal ends the episode.
        judge: Who answers questions, such as `chronosim.metrics.Judge`; without a judge no question
            is answered by yes.
        wants: What the frame must show, for the sentence that asks for one.
        values: Initial values for image files, by name, in the prompter's units.
        names: Names of the numbers in a recording's commanded states, in order.
        step: The moment of a recorded episode to begin at; None: any.
        size: "fit": a camera's frame is resized once to the model's area, its shape kept; (height,
            width): its middle is cut out and resized; None: the frame is taken as it is.
        area: Pixels for "fit".
        mirrored: Number of rows from the top that are mirrored left to right.
        between: Bounds of initial values by name; only beginnings within them are drawn.
        where: Only beginnings for which this criterion holds are drawn.
        horizon: Number of steps that an episode is meant to have, for the commands.
        plan: Actions that belong to the scenario; `policy=plan` takes them one by one.
        instruction: What a policy is asked to do, in words.

    Raises:
        InvalidFrame: The frame is missing or cannot be used.
        InvalidConfig: A setting is invalid, or no beginning fits `between` and `where`.
        ChronosimError: The frame cannot be read.
    """

    frame: str | Path | None
    goal: str | Criterion | None = None
    failure: str | Criterion | None = None
    ends: bool = True
    judge: Asks | None = None
    wants: str = "a picture"
    values: Mapping[str, float] | None = None
    names: Sequence[str] = ()
    step: int | None = None
    size: str | Sequence[int] | None = None
    area: int = AREA
    mirrored: int = 0
    between: Mapping[str, Sequence[float]] = field(default_factory=dict)
    where: Criterion | None = None
    horizon: int | None = None
    plan: Sequence[Any] = ()
    instruction: str = field(default="", repr=False)  # it changes nothing of the world
    _beginning: Beginning = field(init=False, repr=False, compare=False)
    _goal: Criterion | None = field(init=False, repr=False, compare=False)
    _failure: Criterion | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.frame is None:
            raise InvalidFrame(
                f"this scenario begins with a frame of yours, {self.wants}: "
                "give scenario.frame=photo.jpg"
            )
        if self.horizon is not None and self.horizon < 1:
            raise InvalidConfig(f"horizon must be 1 step or more, not {self.horizon}")
        if self.mirrored < 0:
            raise InvalidConfig(f"mirrored must be 0 rows or more, not {self.mirrored}")
        object.__setattr__(self, "_goal", _criterion(self.goal, self.judge))
        object.__setattr__(self, "_failure", _criterion(self.failure, self.judge))
        found = find_beginning(
            self.frame,
            sizing=read_sizing(self.size, self.area),
            values=self.values,
            names=self.names,
            step=self.step,
        )
        object.__setattr__(self, "_beginning", found)
        self.begin(np.random.default_rng(0))  # raises where no beginning fits

    def begin(self, rng: np.random.Generator) -> tuple[Frame, Mapping[str, float]]:
        """Draws a first frame that fits `between` and `where`, and its initial values.

        Raises:
            InvalidConfig: None of a thousand draws fits.
        """
        for _ in range(_DRAWS):
            drawn, values = self._beginning.draw(rng)
            frame = _mirror(drawn, self.mirrored)
            if self._fits(frame, values):
                return frame, values
        bounds = {name: list(within) for name, within in self.between.items()}
        wanted = [f"between={bounds}"] * bool(bounds)
        wanted += [] if self.where is None else [f"where {in_words(self.where)}"]
        raise InvalidConfig(f"{self.frame} has no beginning with {' and '.join(wanted)}")

    def score(
        self, before: Observation, action: Any, prediction: Prediction, after: Observation
    ) -> tuple[float, bool]:
        """Judges one step: how nearly the goal is reached, 0 to 1, and whether the episode ends."""
        if self._failure is not None and self._failure(before, prediction, after) >= 1:
            return 0.0, True
        if self._goal is None:
            return 0.0, False
        reward = float(self._goal(before, prediction, after))
        return reward, self.ends and reward >= 1

    def succeeded(self, reward: float, terminated: bool) -> bool | None:
        """Whether a step with this score reached the goal; None where there is none."""
        return None if self._goal is None else reward >= 1

    def _fits(self, frame: Frame, values: Mapping[str, float]) -> bool:
        for name, (low, high) in self.between.items():
            if name not in values:
                raise InvalidConfig(
                    f"between names {name!r}, but {self.frame} begins with: "
                    f"{', '.join(values) or 'no values'}"
                )
            if not low <= values[name] <= high:
                return False
        if self.where is None:
            return True
        seen = Observation(frame)
        return self.where(seen, Prediction(frame[None]), seen) >= 1


def explain(
    goal: str | Criterion | None,
    failure: str | Criterion | None,
    *,
    ends: bool = True,
    judge: Asks | None = None,
) -> dict[str, str]:
    """Says in plain words what is rewarded (`goal`) and what fails (`failure`)."""
    wanted, unwanted = _criterion(goal, judge), _criterion(failure, judge)
    said = "nothing: every reward is 0" if wanted is None else in_words(wanted)
    end = "; reached, the episode ends" if wanted is not None and ends else ""
    return {"goal": said + end, "failure": "nothing" if unwanted is None else in_words(unwanted)}


def _criterion(given: str | Criterion | None, judge: Asks | None) -> Criterion | None:
    return InWords(given, judge) if isinstance(given, str) else given


def _mirror(frame: Frame, rows: int) -> Frame:
    mirrored = frame.copy()
    mirrored[:rows] = mirrored[:rows, ::-1].copy()
    return mirrored
