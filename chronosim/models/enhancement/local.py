"""A writer on this machine: Qwen3-VL or Qwen2.5-VL through transformers."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer

from chronosim.errors import EnhancementFailed, InvalidConfig, InvalidModel, InvalidPrompt
from chronosim.models.enhancement.enhanced import cap_frame
from chronosim.models.loading.placement import Guest
from chronosim.models.loading.places import find_device, find_dtype, hash_weights
from chronosim.models.loading.quiet import no_bars
from chronosim.models.loading.settings import ModelSettings
from chronosim.models.loading.sources import fetch_folder
from chronosim.types import EditPrompt

RECOMMENDED = "Qwen/Qwen3-VL-30B-A3B-Instruct"
"""Source: the default of nv-tlabs/ChronoEdit's prompt_enhancer.py."""

_KINDS = ("qwen3_vl", "qwen3_vl_moe", "qwen2_5_vl")


# Code that a folder brings along is never run, nor asked about.
_LOCAL: Any = {"local_files_only": True, "trust_remote_code": False}


class LocalWriter:
    """Runs a vision-language model of the Qwen-VL family, always taking the likeliest word.

    The model is fed by its tokenizer and image processor alone: its processor would ask for a video
    processor, and that for torchvision. On a CPU prompts run one at a time, so that a prompt alone
    and in a call gets the same words; on a GPU `micro_batch` run together, and rounding can tip a
    word (1 rules that out).

    Args:
        model: `Qwen3VLForConditionalGeneration` or a relative, in eval mode.
        tokenizer: Its tokenizer, with a chat template.
        image_processor: Its image processor.
        name: What it is called in the log.
        folder: Where the weights came from; None if made in memory.
        revision: The hub's commit that it is.
        micro_batch: Prompts run together, >= 1; None: one on a CPU, eight on a GPU.
        max_tokens: The longest reply, in tokens; one that does not end by then is an error.
        device: Where it computes: it is there only while it writes, so that the world model has
            the room, and waits in main memory; None: where it lies.

    Raises:
        InvalidConfig: `micro_batch` or `max_tokens` is below 1.
        InvalidModel: The tokenizer has no chat template.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        image_processor: Any,
        *,
        name: str,
        folder: Path | None = None,
        revision: str | None = None,
        micro_batch: int | None = None,
        max_tokens: int = 512,
        device: torch.device | None = None,
    ) -> None:
        for setting, value in (("micro_batch", micro_batch), ("max_tokens", max_tokens)):
            if value is not None and value < 1:
                raise InvalidConfig(f"{setting} must be at least 1, not {value}")
        if not tokenizer.chat_template:
            raise InvalidModel(f"the tokenizer of {name} has no chat template to ask it with")
        self.name = name
        self.revision = revision
        self._device = device or model.device
        stays = self._device == model.device
        self._visit = nullcontext if stays else Guest(model, self._device).visit
        self.micro_batch = micro_batch or (1 if self._device.type == "cpu" else 8)
        self.max_tokens = max_tokens
        self._model, self._tokenizer, self._processor = model, tokenizer, image_processor
        self._folder = folder
        self._lock = threading.Lock()

    def __deepcopy__(self, memo: dict[int, Any]) -> LocalWriter:
        """Itself: a writer keeps nothing of its calls."""
        return self

    @property
    def identity(self) -> Mapping[str, Any]:
        """The model, its weights, and how it is run."""
        return {
            "name": self.name,
            "revision": self.revision,
            "weights": self._weights,
            "max_tokens": self.max_tokens,
            "device": self._device.type,
            "dtype": str(self._model.dtype).removeprefix("torch."),
            "micro_batch": self.micro_batch,
            "threads": torch.get_num_threads(),
            "versions": {name: version(name) for name in ("torch", "transformers")},
        }

    @cached_property
    def _weights(self) -> str:
        return hash_weights(self._folder, {"model": self._model})

    def write(self, instructions: str, prompts: Sequence[EditPrompt]) -> list[str]:
        """Replies to each prompt.

        Raises:
            EnhancementFailed: A reply does not end within `max_tokens`.
            InvalidPrompt: A text holds one of the model's control words.
        """
        replies: list[str] = []
        with self._lock, torch.inference_mode(), self._visit():
            for first in range(0, len(prompts), self.micro_batch):
                replies += self._write(instructions, prompts[first : first + self.micro_batch])
        return replies

    def _write(self, instructions: str, prompts: Sequence[EditPrompt]) -> list[str]:
        inputs = self._inputs(instructions, prompts)
        # The model's own config may ask for sampling: its settings are unset, not only unused.
        said = self._model.generate(
            **inputs,
            max_new_tokens=self.max_tokens,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
        )[:, inputs["input_ids"].shape[1] :]
        ends = self._model.generation_config.eos_token_id
        for prompt, tokens in zip(prompts, said, strict=True):
            if not set(tokens.tolist()) & set(ends if isinstance(ends, list) else [ends]):
                raise EnhancementFailed(
                    f"the enhancer's reply to {prompt.text!r} does not end within "
                    f"{self.max_tokens} tokens"
                )
        replies: list[str] = self._tokenizer.batch_decode(said, skip_special_tokens=True)
        return replies

    def _inputs(self, instructions: str, prompts: Sequence[EditPrompt]) -> dict[str, Tensor]:
        pictures = [Image.fromarray(cap_frame(prompt.frame)) for prompt in prompts]
        seen = self._processor(images=pictures, return_tensors="pt")
        # A frame is one token per merged square of patches, all of them the same placeholder.
        counts = seen["image_grid_thw"].prod(1) // self._processor.merge_size**2
        placeholder = self._tokenizer.convert_ids_to_tokens(self._model.config.image_token_id)
        texts = [
            self._render(instructions, prompt).replace(placeholder, placeholder * int(count))
            for prompt, count in zip(prompts, counts, strict=True)
        ]
        read = self._tokenizer(texts, padding=True, padding_side="left", return_tensors="pt")
        inputs = {
            "input_ids": read["input_ids"],
            "attention_mask": read["attention_mask"],
            "pixel_values": seen["pixel_values"].to(self._model.dtype),
            "image_grid_thw": seen["image_grid_thw"],
        }
        # Younger versions of transformers are told where the frame is; older ones look themselves.
        if "mm_token_type_ids" in inspect.signature(self._model.forward).parameters:
            frames = read["input_ids"] == self._model.config.image_token_id
            inputs["mm_token_type_ids"] = frames.to(read["input_ids"].dtype)
        return {name: value.to(self._model.device) for name, value in inputs.items()}

    def _render(self, instructions: str, prompt: EditPrompt) -> str:
        for word in self._tokenizer.get_added_vocab():
            if word in prompt.text:
                raise InvalidPrompt(
                    f"the text {prompt.text!r} holds {word!r}, a control word of {self.name}"
                )
        edit = {"type": "text", "text": f"The edit: {prompt.text}"}
        chat = [
            {"role": "system", "content": [{"type": "text", "text": instructions}]},
            {"role": "user", "content": [{"type": "image"}, edit]},
        ]
        rendered: str = self._tokenizer.apply_chat_template(
            chat, tokenize=False, add_generation_prompt=True
        )
        return rendered


def load_writer(
    name: str | Path = RECOMMENDED,
    *,
    device: str | None = None,
    dtype: str | None = None,
    revision: str | None = None,
    micro_batch: int | None = None,
    max_tokens: int = 512,
) -> LocalWriter:
    """Loads a writer from a local folder or the model hub.

    Args:
        name: A folder or hub id of an Instruct model of Qwen3-VL or Qwen2.5-VL. ChronoEdit's own
            scripts take Qwen3-VL-30B-A3B-Instruct (60 GB) or Qwen2.5-VL-7B-Instruct.
        device: Such as "cuda" or "cpu"; None: a GPU if there is one.
        dtype: "float32" or "bfloat16"; None: bfloat16 on a GPU, float32 on a CPU.
        revision: A commit, tag or branch of the hub; None: its main branch.
        micro_batch: Prompts run together; None: one on a CPU, eight on a GPU.
        max_tokens: The longest reply, in tokens.

    Raises:
        ModelNotFound: The weights, or one of their files, are missing.
        InvalidModel: The files are there but are no such model.
        InvalidConfig: An unknown device or dtype, or a number out of its range.
    """
    place = find_device(device)
    settings = {"dtype": find_dtype(dtype, place), "use_safetensors": True}
    folder, commit = fetch_folder(name, ModelSettings(revision=revision), of_chronoedit=False)
    try:
        with no_bars():
            model, report = AutoModelForImageTextToText.from_pretrained(
                folder, output_loading_info=True, **_LOCAL, **settings
            )
            tokenizer = AutoTokenizer.from_pretrained(folder, **_LOCAL)
            processor = AutoImageProcessor.from_pretrained(folder, **_LOCAL)
    except Exception as error:  # the library checks little of what a config says
        reason = str(error).strip().split("\n")[0]
        raise InvalidModel(f"{folder} cannot be loaded as a writer: {reason}") from error
    if model.config.model_type not in _KINDS:
        raise InvalidModel(
            f"{folder} is a {model.config.model_type}, but a writer is one of {', '.join(_KINDS)}"
        )
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise InvalidModel(f"{folder} lacks {len(missing)} weights, among them {missing[0]}")
    return LocalWriter(
        model.eval(),
        tokenizer,
        processor,
        name=str(name),
        folder=folder,
        revision=commit or revision,
        micro_batch=micro_batch,
        max_tokens=max_tokens,
        device=place,
    )
