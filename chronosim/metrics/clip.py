"""CLIP-I and CLIP-T: whether an edit kept what was there, and whether it shows what was asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor
from transformers import AutoTokenizer, CLIPImageProcessorPil, CLIPModel

from chronosim.errors import InvalidModel, InvalidPrompt
from chronosim.models.loading.places import find_device
from chronosim.models.loading.quiet import no_bars
from chronosim.models.loading.settings import ModelSettings
from chronosim.models.loading.sources import fetch_folder
from chronosim.types import Frame


class Clip:
    """Compares frames with frames and with words, in the space that CLIP learned for both.

    Args:
        model: `CLIPModel` of transformers.
        processor: Prepares frames for it.
        tokenizer: Reads words for it.
        name: Of the model, for the settings beside the figures: those of different models cannot be
            compared.

    Source: Radford et al., "Learning transferable visual models from natural language supervision",
        ICML 2021.
    """

    def __init__(self, model: Any, processor: Any, tokenizer: Any, *, name: str) -> None:
        self.name = name
        self._model = model
        self._processor = processor
        self._tokenizer = tokenizer
        self._longest = int(model.config.text_config.max_position_embeddings)

    def compare_frames(self, before: Frame, after: UInt8[np.ndarray, "rows columns 3"]) -> float:
        """Gives CLIP-I: how alike what two frames show is; -1 to 1, mostly above 0.5.

        Args:
            before: RGB uint8 (height, width, 3).
            after: Of any size.
        """
        ours, theirs = self._see([before, after])
        return float(ours @ theirs)

    def compare_words(self, frame: Frame, text: str) -> float:
        """Gives CLIP-T: how well words describe a frame; -1 to 1, about 0.3 where they do.

        Args:
            frame: RGB uint8 (height, width, 3).
            text: As many words as the model reads at once, 77 tokens as a rule.

        Raises:
            InvalidPrompt: There are more.
        """
        tokens = self._tokenizer(text, return_tensors="pt")
        length = tokens["input_ids"].shape[1]
        if length > self._longest:
            raise InvalidPrompt(
                f"{self.name} reads {self._longest} tokens at once, but {text!r:.60} has {length}"
            )
        with torch.inference_mode():
            read = self._model.text_model(**tokens.to(self._model.device)).pooler_output
            words = _unit(self._model.text_projection(read))[0]
        [seen] = self._see([frame])
        return float(seen @ words)

    def _see(
        self, frames: Sequence[UInt8[np.ndarray, "_ _ 3"]]
    ) -> Float[Tensor, "frames features"]:
        pictures = [Image.fromarray(frame) for frame in frames]
        inputs = self._processor(images=pictures, return_tensors="pt")["pixel_values"]
        with torch.inference_mode():
            seen = self._model.vision_model(inputs.to(self._model.device)).pooler_output
            return _unit(self._model.visual_projection(seen))


def load_clip(name: str | Path, *, device: str | None = None, revision: str | None = None) -> Clip:
    """Loads CLIP from a local folder or the model hub.

    Args:
        name: A folder or hub id of a CLIP in transformers' format with safetensors, such as
            "openai/clip-vit-large-patch14".
        device: Such as "cuda" or "cpu"; None: a GPU if there is one.
        revision: A commit, tag or branch of the hub; None: its main branch.

    Raises:
        ModelNotFound: There is no such folder, and the hub does not give it.
        InvalidModel: The files are there but are no CLIP.
        InvalidConfig: An unknown device.
    """
    place = find_device(device)
    folder, _ = fetch_folder(name, ModelSettings(revision=revision), of_chronoedit=False)
    try:
        with no_bars():
            model, report = CLIPModel.from_pretrained(
                folder, local_files_only=True, output_loading_info=True, use_safetensors=True
            )
            processor = CLIPImageProcessorPil.from_pretrained(folder, local_files_only=True)
            tokenizer = AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
    except (OSError, ValueError, RuntimeError, KeyError, ImportError) as error:
        reason = str(error).strip().split("\n")[0]
        raise InvalidModel(f"{folder} cannot be loaded as a CLIP: {reason}") from error
    if model.config.model_type != "clip" or report["missing_keys"]:
        missing = ", ".join(sorted(report["missing_keys"])[:1])
        lacking = f" that lacks {missing}" if missing else ""
        raise InvalidModel(f"{folder} is no whole CLIP, but a {model.config.model_type}{lacking}")
    return Clip(model.to(place).eval(), processor, tokenizer, name=str(name))


def _unit(vectors: Tensor) -> Tensor:
    return vectors / vectors.norm(dim=-1, keepdim=True)
