"""A world model at a camera's own size, around one that works at other sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from chronosim.models.sizes import Sizing
from chronosim.protocols import WorldModel
from chronosim.types import EditPrompt, Prediction

__all__ = ["CameraSized"]


class CameraSized:
    """Answers at the size it is asked at, whatever the model's sizes are.

    Each step resizes twice, so detail is lost with every one of a rollout: an environment fits the
    camera once, at reset (`frame_size`), and is the better choice for many steps.

    Args:
        model: The world model.
        sizing: How frames get there and back.
    """

    def __init__(self, model: WorldModel, sizing: Sizing) -> None:
        self.model = model
        self.sizing = sizing

    @property
    def identity(self) -> Mapping[str, Any]:
        """The model's, and how its frames are sized."""
        return {**self.model.identity, "sizing": asdict(self.sizing)}

    def predict(self, prompts: Sequence[EditPrompt]) -> list[Prediction]:
        """Answers each prompt at its own frame's size.

        Raises:
            InvalidFrame: A frame that cannot be fitted, or of a size the model does not work at.
            InvalidPrompt: Words the model cannot read.
        """
        fitted = [replace(prompt, frame=self.sizing.there(prompt.frame)) for prompt in prompts]
        return [
            replace(made, trajectory=self.sizing.back(made.trajectory, prompt.frame))
            for made, prompt in zip(self.model.predict(fitted), prompts, strict=True)
        ]
