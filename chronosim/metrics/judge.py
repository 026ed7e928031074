"""A judge: a vision-language model that looks at frames, answers questions, and grades edits."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Annotated, Any

import numpy as np
from jaxtyping import UInt8

from chronosim.errors import InvalidConfig, JudgementFailed
from chronosim.models.serving.chat import Chat, ChatSettings, Refused, frame_part, text_part
from chronosim.settings.typed import Fields
from chronosim.types import Frame


class Judge:
    """Asks any OpenAI-compatible endpoint whose model sees; several threads may ask at once.

    Args:
        url: The endpoint's base, such as "http://localhost:8000/v1".
        model: The model's name there.
        **settings: Fields of `ChatSettings`; `retries` is 2 by default.

    Raises:
        InvalidConfig: A URL that is none or holds a password, a key that is not there or would
            travel in the clear, or a number out of its range.
    """

    def __init__(
        self, url: str, model: str, **settings: Annotated[Any, Fields((ChatSettings,))]
    ) -> None:
        self._chat = Chat("judge", url, model, **{"retries": 2, **settings})

    @property
    def identity(self) -> Mapping[str, Any]:
        """Where the model is, its name there, and how it is asked; never the key."""
        return self._chat.identity

    @property
    def place(self) -> str:
        """Who is asked, for the beginning of a sentence: "the judge at ..."."""
        return self._chat.place

    def ask(self, question: str, frames: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> str:
        """Asks about frames.

        Args:
            question: In words; the frames are called "Frame 1", "Frame 2" ... where they are
                several.
            frames: One or more, in the order in which they are shown, RGB uint8 (height, width, 3);
                sizes may differ.

        Returns:
            What the model said, without the space around it; never empty.

        Raises:
            InvalidConfig: There is no frame, or no question.
            JudgementFailed: The service is not reached, is late, refuses, breaks the protocol or
                says nothing.
        """
        if not frames or not question.strip():
            raise InvalidConfig(
                f"a judge is asked a question about at least one frame, not {question!r} about "
                f"{len(frames)}"
            )
        parts: list[dict[str, Any]] = []
        for number, frame in enumerate(frames, 1):
            if len(frames) > 1:
                parts.append(text_part(f"Frame {number}:"))
            parts.append(frame_part(frame))
        try:
            answer = self._chat.ask([{"role": "user", "content": [*parts, text_part(question)]}])
        except Refused as error:
            raise JudgementFailed(f"{self.place} {error}") from error
        if not answer.strip():
            raise JudgementFailed(f"{self.place} said nothing to {question!r:.200}")
        return answer.strip()


_QUESTION = """\
Frame 1 is how a scene looked, frame 2 is how it looks after an edit. The edit that was asked for:
"{text}"

Give a mark for {what}. {how}

The marks:
5  {best}
4  right but for small flaws that must be looked for
3  partly right: flaws that anyone sees at once
2  mostly wrong
1  {worst}

Say in one or two sentences what you see that decides it. Then end with one line of its own, in
exactly this form, with a whole number from 1 to 5:
MARK: <number>"""

AXES = {
    "action_fidelity": {
        "what": "whether what was asked for has been done",
        "how": (
            "Look for the action alone: the right thing, in the right place, as far as was asked, "
            "and carried to its end. Do not mark down for looks, nor for changes elsewhere."
        ),
        "best": "exactly what was asked for has happened, all of it",
        "worst": "nothing of it has happened, or the opposite has",
    },
    "identity": {
        "what": "whether everything else has stayed itself",
        "how": (
            "Look at what the edit gave no reason to change: people, objects, their shapes, "
            "colours and number, the background, the light and the point of view. What had to "
            "change for the edit is no fault. That the edit has not been done is none, either."
        ),
        "best": "all else is the same, down to details",
        "worst": "it is another scene, or its main things have become others",
    },
    "coherence": {
        "what": "whether frame 2 could be a real view of a possible world",
        "how": (
            "Look at frame 2 as such: light, shadows, contact, weight, perspective; no melted or "
            "doubled parts, no seams, blur or noise that frame 1 did not have. Whether it is what "
            "was asked for does not matter here."
        ),
        "best": "nothing gives it away",
        "worst": "broken: it could not be, or can hardly be made out",
    },
}
"""The three axes, and what a judge is told of each beside the frames and the edit."""

_MARK = re.compile(r"^[\s*_`#]*MARK[\s*_`]*:[\s*_`]*([0-9.]+)(?:\s*/\s*5)?[\s*_`.]*$", re.I | re.M)


@dataclass(frozen=True, slots=True)
class Score:
    """A mark, and why.

    Attributes:
        mark: 1 (worst) to 5 (best).
        reason: What the judge said of it.
    """

    mark: int
    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judge's marks for an edit, as PBench-Edit asks for them.

    Attributes:
        action_fidelity: Whether what was asked for has been done.
        identity: Whether everything else has stayed itself.
        coherence: Whether the outcome could be a real view of a possible world.
    """

    action_fidelity: Score
    identity: Score
    coherence: Score

    @property
    def overall(self) -> float:
        """The mean of the three marks, 1 to 5."""
        return fmean((self.action_fidelity.mark, self.identity.mark, self.coherence.mark))


def judge_edit(
    judge: Judge, before: Frame, text: str, after: UInt8[np.ndarray, "rows columns 3"]
) -> Verdict:
    """Has a judge mark an edit: three questions, each asked by itself.

    Asked at once, a model lets one mark colour the others. The words of the questions are ours, for
    the benchmark's own are not public: marks of ours compare with each other, not with papers'.

    Args:
        judge: Whom to ask.
        before: RGB uint8 (height, width, 3).
        text: The edit, in words.
        after: What came of it; of any size.

    Raises:
        JudgementFailed: There is no answer, or none with a mark from 1 to 5.

    Source: the axes from PBench-Edit, in Wu et al., "ChronoEdit", arXiv 2510.04290.
    """
    marks = {
        axis: _read(judge.ask(_QUESTION.format(text=text, **told), [before, after]))
        for axis, told in AXES.items()
    }
    return Verdict(**marks)


def _read(answer: str) -> Score:
    marks = _MARK.findall(answer)
    if not marks:
        raise JudgementFailed(
            f"a judge's answer must end with a line 'MARK: <1 to 5>', not {answer[-200:]!r}"
        )
    if not re.fullmatch("[1-5]", marks[-1]):
        raise JudgementFailed(f"a judge's mark must be a whole number from 1 to 5, not {marks[-1]}")
    return Score(int(marks[-1]), _MARK.sub("", answer).strip())
