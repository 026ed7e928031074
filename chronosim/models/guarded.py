"""A world model whose words and frames are checked by functions of the user's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from chronosim.errors import InvalidConfig, InvalidFrame, InvalidPrompt
from chronosim.models.named import load_model
from chronosim.protocols import WorldModel
from chronosim.types import EditPrompt, Guard, Prediction

TextCheck = Callable[[str], str | None]
"""Tells of a text why it must not be predicted; None: it may."""


class Guarded:
    """Refuses words before they are predicted, and predictions before anybody sees them.

    chronosim ships no check. NVIDIA's repository has two, on by default: a list of words and
    Qwen3Guard for texts; a content filter for frames, and a blur on faces.

    Args:
        model: The world model; around an `Enhanced` one, its words are checked as they were given.
        text: Asked of each prompt's words; None: all may pass.
        frame: Asked of each predicted frame, those on the way included; None: all may pass.

    Raises:
        InvalidConfig: A check that cannot be called.
    """

    def __init__(
        self, model: WorldModel, *, text: TextCheck | None = None, frame: Guard | None = None
    ) -> None:
        for name, check in (("text", text), ("frame", frame)):
            if check is not None and not callable(check):
                raise InvalidConfig(f"the check of a {name} must be a function, not {check!r}")
        self.model = model
        self._text, self._frame = text, frame

    @property
    def identity(self) -> Mapping[str, Any]:
        """The model's, and the names of the checks."""
        checks = {"text": _name(self._text), "frame": _name(self._frame)}
        return {**self.model.identity, "checks": checks}

    def predict(self, prompts: Sequence[EditPrompt]) -> list[Prediction]:
        """Answers each prompt that may be answered; one that may not refuses the call.

        Raises:
            InvalidPrompt: The check of texts refuses words.
            InvalidFrame: The check of frames refuses what was predicted, or as the model does.
        """
        for prompt in prompts:
            if self._text is not None and (why := self._text(prompt.text)) is not None:
                raise InvalidPrompt(f"the check of texts refuses {prompt.text!r}: {why}")
        predictions = self.model.predict(prompts)
        for prompt, prediction in zip(prompts, predictions, strict=True):
            self._check(prompt, prediction)
        return predictions

    def _check(self, prompt: EditPrompt, prediction: Prediction) -> None:
        for frame in () if self._frame is None else prediction.trajectory:
            assert self._frame is not None
            if (why := self._frame(frame)) is not None:
                raise InvalidFrame(
                    f"the check of frames refuses what was predicted for {prompt.text!r}: {why}"
                )


def load_guarded(
    model: str | Path | WorldModel,
    *,
    text: TextCheck | None = None,
    frame: Guard | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Guarded:
    """Gives a world model that is checked.

    Args:
        model: A world model; or a name in `scenarios/conf/model`, a local folder, or a hub id.
        text: As `Guarded` takes it.
        frame: As `Guarded` takes it.
        settings: Of the model, where it is named.

    Raises:
        InvalidConfig: An unknown name or setting, or a check that cannot be called.
        ChronosimError: Whatever the model's own making raises.
    """
    return Guarded(load_model(model, **(settings or {})), text=text, frame=frame)


def _name(check: Any) -> str | None:
    return None if check is None else str(getattr(check, "__qualname__", type(check).__qualname__))
