"""How an edit is worded out: what a language model is told, and what of its replies is a prompt."""

from __future__ import annotations

import json
from dataclasses import dataclass
from types import MappingProxyType

from chronosim.errors import EnhancementFailed

__all__ = ["FORMS", "Form"]


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
