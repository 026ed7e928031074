"""Single-frame editors: diffusers' instruction-editing pipelines as world models."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from PIL import Image

from chronosim.errors import InvalidConfig, InvalidFrame, InvalidModel, InvalidPrompt
from chronosim.models.rivals.pipelines import Origin, pipeline_identity
from chronosim.progress import denoised
from chronosim.types import EditPrompt, Prediction

_OURS = ("image", "prompt", "height", "width", "generator", "output_type", "return_dict")


class Editor:
    """A world model over a pipeline that takes a frame and an instruction and gives a frame.

    Such are `QwenImageEditPipeline` and its Plus, `StableDiffusionInstructPix2PixPipeline`,
    `FluxKontextPipeline` and more. A trajectory is the outcome alone: an editor knows no way there.
    Rows run one at a time, so that a row alone equals one in a call.

    Args:
        pipeline: diffusers' pipeline, on its device.
        settings: More arguments of its call, such as `num_inference_steps`.
        name: What the model is called in the log.
        origin: Where the weights came from.
        progress: Called after each prompt with the prompts done and all of the call's.

    Raises:
        InvalidModel: The pipeline takes no frame and instruction.
        InvalidConfig: A setting that the pipeline's call does not have, or that is not the user's.
    """

    def __init__(
        self,
        pipeline: Any,
        settings: Mapping[str, Any] | None = None,
        *,
        name: str = "editor",
        origin: Origin | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        known = list(inspect.signature(type(pipeline).__call__).parameters)[1:]
        if not {"image", "prompt", "generator"} <= set(known):
            raise InvalidModel(
                f"a {type(pipeline).__name__} is no editor: its call takes no image, prompt and "
                "generator"
            )
        for setting in settings or {}:
            if setting not in known or setting in _OURS:
                theirs = [name for name in known if name not in _OURS]
                raise InvalidConfig(
                    f"{setting!r} is no setting of a {type(pipeline).__name__}; "
                    f"it has {', '.join(theirs)}"
                )
        self.pipeline = pipeline
        self.settings = dict(settings or {})
        self.name = name
        self._origin = origin or Origin()
        self._sized = {"height", "width"} <= set(known)
        self._steps = "callback_on_step_end" in set(known) - set(self.settings)
        self._progress = progress
        self._lock = threading.Lock()
        pipeline.set_progress_bar_config(disable=True)

    def __deepcopy__(self, memo: dict[int, Any]) -> Editor:
        """Itself: it keeps nothing of its calls, and Gymnasium copies specs that hold it."""
        return self

    @property
    def identity(self) -> Mapping[str, Any]:
        """What made these predictions, in JSON values."""
        return {
            **pipeline_identity(self.pipeline, self.name, self._origin),
            "settings": self.settings,
        }

    def predict(self, prompts: Sequence[EditPrompt]) -> list[Prediction]:
        """Edits each frame.

        Raises:
            InvalidFrame: The pipeline does not work at a frame's size.
            InvalidPrompt: The pipeline's safety checker blanked the outcome.
        """
        predictions = []
        with self._lock, torch.inference_mode():
            for row, prompt in enumerate(prompts):
                told = self._told(row, len(prompts))
                predictions.append(self._answer(prompt, told))
                if self._progress is not None:
                    self._progress(len(predictions), len(prompts))
                if not told:
                    denoised(len(predictions), len(prompts))
        return predictions

    def _told(self, row: int, rows: int) -> dict[str, Any]:
        """What has the pipeline tell of its denoising steps, if it can."""

        def stepped(pipeline: Any, index: int, *_: Any) -> dict[str, Any]:
            steps = int(pipeline.num_timesteps)
            denoised(row * steps + index + 1, rows * steps)
            return {}

        return {"callback_on_step_end": stepped} if self._steps else {}

    def _answer(self, prompt: EditPrompt, told: Mapping[str, Any]) -> Prediction:
        height, width = prompt.frame.shape[:2]
        size = {"height": height, "width": width} if self._sized else {}
        with frames_in_place(self.pipeline.components.get("text_encoder")):
            answer = self.pipeline(
                image=Image.fromarray(np.ascontiguousarray(prompt.frame)),
                prompt=prompt.text,
                generator=torch.Generator().manual_seed(prompt.seed),
                output_type="pil",
                **size,
                **told,
                **self.settings,
            )
        if any(getattr(answer, "nsfw_content_detected", None) or ()):
            raise InvalidPrompt(
                f"the safety checker of {self.name} blanked the outcome of {prompt.text!r}"
            )
        outcome = np.array(answer.images[0].convert("RGB"))
        if outcome.shape != prompt.frame.shape:
            raise InvalidFrame(
                f"{self.name} answers a frame of {height} x {width} (height x width) with one of "
                f"{outcome.shape[0]} x {outcome.shape[1]}: give it frames of that size"
            )
        return Prediction(outcome[None])


@contextmanager
def frames_in_place(encoder: Any) -> Iterator[None]:
    """Has a Qwen-VL encoder number a frame's tokens by row and column, inside the with.

    Since transformers 5 it does so only when it is told which tokens are the frame's. Diffusers
    0.42's Qwen-Image-Edit pipelines do not tell it (huggingface/diffusers#14194), and it numbers
    them as words then, without an error: the edit goes by something no training ever showed.

    Args:
        encoder: A pipeline's text encoder, of whichever kind, or None; only a Qwen-VL is told.
    """
    kind = str(getattr(getattr(encoder, "config", None), "model_type", ""))
    if (
        "_vl" not in kind
        or "mm_token_type_ids" not in inspect.signature(encoder.forward).parameters
    ):
        yield
        return

    def tell(module: Any, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        seen = named.get("image_grid_thw") is not None
        if seen and named.get("mm_token_type_ids") is None:
            tokens = named["input_ids"]
            named["mm_token_type_ids"] = (tokens == module.config.image_token_id).to(tokens.dtype)
        return args, named

    handle = encoder.register_forward_pre_hook(tell, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
