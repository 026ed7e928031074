"""A world model that has each edit worded out before it is asked."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NoReturn, Protocol, runtime_checkable

import numpy as np

from chronosim.errors import InvalidConfig
from chronosim.models.enhancement.forms import FORMS, Form
from chronosim.models.memo import Memo
from chronosim.protocols import WorldModel
from chronosim.types import EditPrompt, Prediction

__all__ = ["Enhanced", "Writer"]


@runtime_checkable
class Writer(Protocol):
    """A language model that sees frames."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """What made these words: at least `name`; JSON values only (for the log)."""
        ...

    def write(self, instructions: str, prompts: Sequence[EditPrompt]) -> list[str]:
        """Replies to each prompt, as the instructions say, with whatever the model said.

        Args:
            instructions: What the model is told, apart from a prompt's frame and text.
            prompts: One or more; their seeds have no say.

        Raises:
            EnhancementFailed: There is no reply, or not all of it.
        """
        ...


class Enhanced:
    """A world model around a world model: a writer words each edit out first.

    All prompts of a call go to the writer at once. Its words are kept by frame and text, so an
    edit is worded once, whatever the noise; they come back in `Prediction.text`, and so in the log.

    Args:
        model: The world model that is asked; it must read free words.
        writer: The language model.
        form: A key of `FORMS`, or a form of your own.
        remembered: How many wordings are kept, >= 1.

    Raises:
        InvalidConfig: An unknown form, or `remembered` below 1.
    """

    def __init__(
        self, model: WorldModel, writer: Writer, form: str | Form = "edit", *, remembered: int = 256
    ) -> None:
        if isinstance(form, str) and form not in FORMS:
            raise InvalidConfig(f"there is no form {form!r}: give one of {', '.join(FORMS)}")
        if remembered < 1:
            raise InvalidConfig(f"remembered must be at least 1, not {remembered}")
        self.model = model
        self.writer = writer
        self.form = FORMS[form] if isinstance(form, str) else form
        self._wordings: Memo[str] = Memo(remembered)
        self._lock = threading.Lock()

    def __deepcopy__(self, memo: dict[int, Any]) -> Enhanced:
        """Itself: what it keeps shapes no answer, and Gymnasium copies specs that hold it."""
        return self

    @property
    def identity(self) -> Mapping[str, Any]:
        """The identities of the model and the writer, and which words the writer was told."""
        told = hashlib.sha256(self.form.instructions.encode()).hexdigest()
        model = dict(self.model.identity)
        return {
            "name": f"{model['name']}, enhanced",
            "model": model,
            "writer": dict(self.writer.identity),
            "form": {"name": self.form.name, "instructions": told},
        }

    def predict(self, prompts: Sequence[EditPrompt]) -> list[Prediction]:
        """Words each edit out, and asks the model.

        Returns:
            The model's predictions; `text` holds the words that it was asked with.

        Raises:
            EnhancementFailed: The writer gives no reply, or one that is no prompt. Nothing was
                predicted then: the bare text is never a substitute.
            InvalidFrame: As the model does.
            InvalidPrompt: As the model does.
        """
        with self._lock:
            texts = self._word(prompts)
        asked = [replace(prompt, text=text) for prompt, text in zip(prompts, texts, strict=True)]
        return [
            prediction if prediction.text is not None else replace(prediction, text=text)
            for prediction, text in zip(self.model.predict(asked), texts, strict=True)
        ]

    def _word(self, prompts: Sequence[EditPrompt]) -> list[str]:
        """The wording of each prompt, in one call to the writer for all that are not kept."""
        keys = [_key(prompt) for prompt in prompts]
        # In a table of this call's own: it may ask for more wordings than are kept.
        wordings: dict[Hashable, str] = {}
        unknown: dict[Hashable, EditPrompt] = {}
        for key, prompt in zip(keys, prompts, strict=True):
            try:
                wordings[key] = self._wordings.get(key, _missing)
            except LookupError:
                unknown[key] = prompt
        if unknown:
            replies = self.writer.write(self.form.instructions, list(unknown.values()))
            for (key, prompt), reply in zip(unknown.items(), replies, strict=True):
                wordings[key] = self.form.read(reply, prompt.text)
                self._wordings.get(key, partial(wordings.__getitem__, key))
        return [wordings[key] for key in keys]


def _missing() -> NoReturn:
    raise LookupError


def _key(prompt: EditPrompt) -> Hashable:
    frame = np.ascontiguousarray(prompt.frame)
    return prompt.text, frame.shape, hashlib.blake2b(frame.data, digest_size=32).digest()
