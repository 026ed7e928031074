"""A goal in words: a question that a judge answers by looking."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from chronosim.errors import InvalidConfig, JudgementFailed
from chronosim.types import Frame, Observation, Prediction

_ASKED = (
    "The frames are from one camera, one after the other; the last one shows how things are now. "
    "{question} Answer with one word: yes or no."
)
_ANSWER = re.compile(r"\W*(yes|no)\b", re.IGNORECASE)


@runtime_checkable
class Asks(Protocol):
    """Whoever answers a question about frames, such as `chronosim.metrics.Judge`."""

    def ask(self, question: str, frames: Sequence[Frame]) -> str:
        """Answers in words."""
        ...


@dataclass(frozen=True, slots=True)
class InWords:
    """Holds where a judge says yes to a question about a step.

    The judge sees the observed frame, the middle one of the trajectory, and the outcome.

    Attributes:
        question: A yes-or-no question: "Has the car stopped?"
        judge: Who answers; without a judge the criterion never holds.

    Raises:
        InvalidConfig: The question is empty, or the judge cannot be asked.
    """

    question: str
    judge: Asks | None = None

    def __post_init__(self) -> None:
        if not self.question.strip():
            raise InvalidConfig("a judge needs a question")
        if self.judge is not None and not isinstance(self.judge, Asks):
            raise InvalidConfig(f"a judge must have ask(question, frames), not be {self.judge!r}")

    def __call__(self, before: Observation, prediction: Prediction, after: Observation) -> float:
        """Asks the judge: 1 for yes, 0 for no.

        Raises:
            JudgementFailed: There is no answer, or it begins with neither yes nor no.
        """
        if self.judge is None:
            return 0.0
        way = prediction.trajectory
        middle = [way[len(way) // 2]] if len(way) > 2 else []
        frames = [before.frame, *middle, after.frame]
        answer = self.judge.ask(_ASKED.format(question=self.question), frames)
        found = _ANSWER.match(answer)
        if found is None:
            raise JudgementFailed(
                f"a judge was asked {self.question!r}, yes or no: {answer!r:.200}"
            )
        return float(found[1].lower() == "yes")

    def __str__(self) -> str:
        unjudged = "" if self.judge is not None else " (nobody is asked: scenario.judge names one)"
        return f"a judge says yes to: {self.question}{unjudged}"
