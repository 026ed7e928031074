"""A judge: a vision-language model that looks at frames and answers a question about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from chronosim.errors import InvalidConfig, JudgementFailed
from chronosim.models.enhancement.chat import Chat, Refused, frame_part, text_part

__all__ = ["Judge"]


class Judge:
    """Asks any OpenAI-compatible endpoint whose model sees; several threads may ask at once.

    Args:
        url: The endpoint's base, such as "http://localhost:8000/v1".
        model: The model's name there.
        key_variable: The environment variable that holds the API key; None: no key is sent. The key
            is never logged and is no part of the identity.
        timeout: Seconds to wait for an answer to begin, and then for the whole of it, > 0.
        retries: How often a request is made again, after a pause of 1, 2, 4 ... seconds, when the
            service is not reached, is late, or answers 429 or 5xx; each is logged as a warning.
        options: What else a request says, instead of `max_tokens` 512, `temperature` 0, `seed` 0.

    Raises:
        InvalidConfig: A URL that is none or holds a password, a key that is not there or would
            travel in the clear, or a number out of its range.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        key_variable: str | None = None,
        timeout: float = 60.0,
        retries: int = 2,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self._chat = Chat(
            "judge",
            url,
            model,
            key_variable=key_variable,
            timeout=timeout,
            retries=retries,
            options=options,
        )

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
