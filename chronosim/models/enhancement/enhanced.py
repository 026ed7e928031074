"""A world model that has each edit worded out before it is asked."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from chronosim.errors import EnhancementFailed, InvalidConfig
from chronosim.models.engine.components import Memo
from chronosim.models.named import load_model
from chronosim.protocols import WorldModel
from chronosim.types import EditPrompt, Frame, Prediction


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

    def word(self, prompts: Sequence[EditPrompt]) -> list[str]:
        """Words each edit out, and asks no model. What it gives is asked as it is later.

        Raises:
            EnhancementFailed: As `predict` does.
        """
        with self._lock:
            texts = self._word(prompts)
            for prompt, text in zip(prompts, texts, strict=True):
                self._wordings.get(_key(replace(prompt, text=text)), partial(str, text))
        return texts

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


_SHORTEST_SIDE = 1080  # pixels; source: --max-resolution of nv-tlabs/ChronoEdit's scripts


def cap_frame(frame: Frame) -> UInt8[np.ndarray, "rows columns 3"]:
    """Gives a frame as a writer sees it: its shorter side is 1080 pixels at most (Lanczos)."""
    height, width = frame.shape[:2]
    share = _SHORTEST_SIDE / min(height, width)
    if share >= 1:
        return np.ascontiguousarray(frame)
    size = round(width * share), round(height * share)
    picture = Image.fromarray(np.ascontiguousarray(frame))
    return np.array(picture.resize(size, Image.Resampling.LANCZOS))


@dataclass(frozen=True, slots=True)
class Form:
    """One way to word an edit out.

    Attributes:
        name: What it is called in the log.
        instructions: What the language model is told, apart from the frame and the edit.
        opening: How every prompt begins; a reply that begins otherwise (an excuse, a question, loud
            thinking) is no prompt. Empty: anything goes.
        most_words: The longest prompt that is taken, in words. The text encoder reads 512 tokens.
    """

    name: str
    instructions: str
    opening: str
    most_words: int = 200

    def read(self, reply: str, text: str) -> str:
        """Gives the prompt that a reply is.

        Args:
            reply: What the language model said.
            text: What it was asked to word out, for the error.

        Raises:
            EnhancementFailed: The reply is no prompt; the sentence says why.
        """
        prompt = " ".join(reply.split())
        words = len(prompt.split(" "))
        if not prompt:
            raise EnhancementFailed(f"the enhancer's reply to {text!r} is empty")
        if _is_json(prompt):
            raise EnhancementFailed(
                f"the enhancer's reply to {text!r} is JSON, not a prompt: {_begin(prompt)}"
            )
        if not prompt.lower().startswith(self.opening.lower()):
            raise EnhancementFailed(
                f"the enhancer's reply to {text!r} is no prompt: it must begin with "
                f"{self.opening!r}, and begins {_begin(prompt)}"
            )
        if words > self.most_words:
            raise EnhancementFailed(
                f"the enhancer's reply to {text!r} has {words} words, and at most "
                f"{self.most_words} are taken: {_begin(prompt)}"
            )
        return prompt


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict | list)
    except ValueError:
        return False


def _begin(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:80]} ...")


_EDIT = """\
You word out edits for a model that edits a single frame. You see the frame and are given an edit. \
Do not carry the edit out, answer it or judge it: describe it so fully that nobody need guess.

First see which of two kinds it is.
1. A change within the scene: something is added, removed, replaced or moved, or someone acts. Say \
what changes and where, and how it looks afterwards: shape, colour, material, position, pose. For \
lettering, say its place, colour and layout. To extract something is to remove what is behind it: \
then say that first. Then say what stays as it is, as far as the edit leaves it alone: identity, \
face, expression, age, skin, hair, clothes, pose, the other things, layout, style, light, shot.
2. The same character in a new scene: say what makes the character recognisable and stays, which \
pose and action it takes there, and describe the whole new scene.

Keep every number, unit, direction, name and quotation of the edit exactly. Speak of motion or the \
camera only where they matter; otherwise the camera stays where it is. Keep the frame's style.

Reply in English with one paragraph of 80 to 100 words and nothing else: no title, no list, no \
quotation marks around it. Begin with the words "The user wants to"."""

_TIME = """\
You word out edits for a model that continues a frame as a short film. You see the frame and are \
given an edit. Imagine the film that begins with exactly this frame and ends with the edit done.

Work out silently what is there now, what has to happen and in which order, what causes it and \
obeys which physics, and how the last moment looks. Then tell it as it happens: begin with the \
frame as it is, go through the change step by step, naming what moves, bends, appears or vanishes \
and how, and end with the final state in full, which then stays still. An edit without a natural \
course (a new colour, a new style) happens as one smooth, continuous change.

Whatever the edit leaves alone stays as it is: identity, the other things, style and light. The \
camera does not move and nothing is cut, unless the edit says so. Keep every number, unit, \
direction, name and quotation of the edit exactly.

Reply in English, in the present tense, with one paragraph of 60 to 100 words and nothing else: no \
title, no list, no quotation marks around it. Begin with the words "At first,"."""

FORMS = MappingProxyType(
    {
        # What changes, what stays: the shape of the words that ChronoEdit was trained on, about
        # 80 to 100 of them behind a fixed opening (nv-tlabs/ChronoEdit, prompt_enhancer.py).
        "edit": Form("edit", _EDIT, "The user wants to"),
        # What happens over time: IF-Edit's temporal chain of thought (arXiv 2511.19435).
        "time": Form("time", _TIME, "At first,"),
    }
)
"""The known forms, by name. The words of both are chronosim's own."""


def load_enhanced(
    model: str | Path | WorldModel,
    writer: Writer,
    form: str | Form = "edit",
    *,
    remembered: int = 256,
    settings: Mapping[str, Any] | None = None,
) -> Enhanced:
    """Gives a world model that has each edit worded out.

    Args:
        model: A world model; or a name in `scenarios/conf/model`, a local folder, or a hub id.
        writer: The language model.
        form: A key of `FORMS`, or a form of your own.
        remembered: How many wordings are kept.
        settings: Of the model, where it is named.

    Raises:
        InvalidConfig: An unknown name or setting.
        ChronosimError: Whatever the model's own making raises.
    """
    return Enhanced(load_model(model, **(settings or {})), writer, form, remembered=remembered)
