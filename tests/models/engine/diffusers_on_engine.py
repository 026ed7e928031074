"""A plugin for pytest that runs diffusers' own ChronoEdit tests on our engine.

They are not in diffusers' wheel: `CHRONOSIM_DIFFUSERS=<checkout> pytest -m diffusers` runs them,
with their pipeline's call replaced by ours and our attention in their transformer. What cannot
apply is skipped, each with its reason (`CANNOT`).
"""

from __future__ import annotations

import functools
import importlib
import sys
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import diffusers
import numpy as np
import pytest
import torch
import transformers
from diffusers.pipelines.chronoedit.pipeline_output import ChronoEditPipelineOutput
from diffusers.utils.torch_utils import randn_tensor
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from chronosim.models.engine.acceleration import CrossAttention
from chronosim.models.engine.chronoedit import ChronoEdit
from chronosim.models.engine.components import Components
from chronosim.models.engine.denoising import read_scheduler
from chronosim.models.engine.encoding import decode
from chronosim.models.engine.sampling import Sampling
from chronosim.types import EditPrompt

CANNOT = {
    "test_inference": "its numbers are of weights drawn for a config on the hub, with 16 tokens",
    "test_callback_inputs": "our callback may end a prediction, but not change its latents",
    "test_callback_cfg": "guidance is a setting of an engine, not changed within a prediction",
    "test_encode_prompt_works_in_isolation": "drops the text encoder, which Components holds; "
    "embeddings in place of texts: test_chronoedit.py",
    "test_inference_batch_single_identical": "skipped by them; ours: test_chronoedit.py",
    "test_save_load_float16": "skipped by them",
}


def run_on_engine(
    self: Any,
    image: Any,
    prompt: Any = None,
    negative_prompt: Any = None,
    height: int = 480,
    width: int = 832,
    num_frames: int = 81,
    num_inference_steps: int = 50,
    guidance_scale: float = 5.0,
    num_videos_per_prompt: int = 1,
    generator: Any = None,
    latents: Any = None,
    prompt_embeds: Any = None,
    negative_prompt_embeds: Any = None,
    image_embeds: Any = None,
    output_type: str = "np",
    return_dict: bool = True,
    attention_kwargs: Any = None,
    callback_on_step_end: Any = None,
    callback_on_step_end_tensor_inputs: Any = ("latents",),
    max_sequence_length: int = 512,
    enable_temporal_reasoning: bool = False,
    num_temporal_reasoning_steps: int = 0,
) -> Any:
    """What their pipeline's call does, by our engine."""
    names = ("tokenizer", "text_encoder", "image_processor", "image_encoder", "transformer", "vae")
    parts = Components(**{name: getattr(self, name) for name in names}, scheduler=self.scheduler)
    for name in names[1::2] + names[4:]:
        getattr(parts, name).eval()
    own = read_scheduler({**self.scheduler.config, "_class_name": type(self.scheduler).__name__})
    assert own is not None
    negative = negative_prompt[0] if isinstance(negative_prompt, list) else negative_prompt
    sampling = Sampling(
        denoising_steps=num_inference_steps,
        guidance=guidance_scale,
        negative_prompt=(negative or "") if guidance_scale > 1 else "",
        truncate_text=True,
        reasoning_steps=num_temporal_reasoning_steps if enable_temporal_reasoning else 0,
        **own,
    )
    engine = ChronoEdit(parts, sampling, name="suite")
    rows = len(prompt_embeds) if prompt is None else len(prompt) if isinstance(prompt, list) else 1
    texts = prompt if isinstance(prompt, list) else [prompt or ""] * rows
    images = image if isinstance(image, list) else [image] * rows
    prompts = [
        EditPrompt(np.array(one.convert("RGB").resize((width, height))), text, 0)
        for one, text in zip(images, texts, strict=True)
    ]
    time = parts.latents if enable_temporal_reasoning else 2
    shape = (rows, parts.vae.config.z_dim, time, height // 8, width // 8)
    noise = randn_tensor(shape, generator=generator, dtype=torch.float32)
    made = engine.latents(
        prompts,
        embeddings=None if prompt_embeds is None else list(prompt_embeds),
        negative=None if negative_prompt_embeds is None else negative_prompt_embeds[0],
        noise=list(noise if latents is None else latents),
    )
    frames: Any = torch.stack(made)
    if output_type != "latent":
        with torch.inference_mode():
            frames = np.stack([decode(parts, row[None])[0] for row in made]) / np.float32(255)
    if output_type == "pt":
        frames = torch.from_numpy(frames).permute(0, 1, 4, 2, 3)
    return ChronoEditPipelineOutput(frames=frames) if return_dict else (frames,)


def _tokenizer(_: str) -> Any:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<pad>", "</s>", "<unk>"]
    words = ["dance monkey negative very long A painting of a squirrel eating a burger"]
    trainer = trainers.UnigramTrainer(vocab_size=60, special_tokens=special, unk_token="<unk>")
    tokenizer.train_from_iterator(words, trainer)
    kind: Any = transformers.T5TokenizerFast
    return kind(tokenizer_object=tokenizer, extra_ids=0)


def _config(_: str) -> Any:
    kind: Any = transformers.T5Config
    return kind(vocab_size=100, d_model=32, d_ff=37, d_kv=8, num_layers=2, num_heads=4)


def _put_attention_in() -> None:
    """Our processors into every transformer that a test makes."""
    kind: Any = diffusers.ChronoEditTransformer3DModel
    build = kind.__init__

    @functools.wraps(build)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        build(self, *args, **kwargs)
        CrossAttention(self)

    kind.__init__ = init


def pytest_configure() -> None:
    """Does without two tests of other models, which theirs import for helpers they never call."""
    for other in (
        "unets.test_models_unet_2d_condition",
        "transformers.test_models_transformer_flux",
    ):
        sys.modules[f"tests.models.{other}"] = MagicMock()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts our engine under the collected tests, and skips what cannot apply."""
    _put_attention_in()
    theirs: Any = importlib.import_module("tests.pipelines.chronoedit.test_chronoedit")
    theirs.AutoConfig = SimpleNamespace(from_pretrained=_config)
    theirs.AutoTokenizer = SimpleNamespace(from_pretrained=_tokenizer)
    pipeline: Any = diffusers.ChronoEditPipeline
    pipeline.__call__ = run_on_engine
    for item in items:
        if "pipelines" in str(item.path) and item.name in CANNOT:
            item.add_marker(pytest.mark.skip(reason=CANNOT[item.name]))
