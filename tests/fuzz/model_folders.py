"""Model folders with damage in their configs and weights."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import diffusers
import torch

from tests.fuzz.damage import VALUES, damage, put
from tests.fuzz.watch import MARK, Case
from tests.models.conftest import make_components, make_subword_tokenizer, make_transformer

_hf: Any = diffusers
PARTS = ("transformer", "text_encoder", "image_encoder", "vae")
# Settings by which a small file asks for very much, or for nothing.
LARGE = (
    ("transformer", "num_layers"),
    ("transformer", "num_attention_heads"),
    ("transformer", "attention_head_dim"),
    ("transformer", "ffn_dim"),
    ("transformer", "rope_max_seq_len"),
    ("transformer", "patch_size"),
    ("text_encoder", "vocab_size"),
    ("text_encoder", "num_layers"),
    ("text_encoder", "num_heads"),
    ("text_encoder", "d_model"),
    ("image_encoder", "num_hidden_layers"),
    ("image_encoder", "num_attention_heads"),
    ("image_encoder", "image_size"),
    ("image_encoder", "patch_size"),
    ("vae", "base_dim"),
    ("vae", "dim_mult"),
    ("vae", "latents_std"),
    ("vae", "latents_mean"),
    ("vae", "num_res_blocks"),
    ("scheduler", "_class_name"),
    ("scheduler", "num_train_timesteps"),
    ("image_processor", "image_std"),
    ("image_processor", "image_mean"),
    ("image_processor", "size"),
    ("tokenizer", "tokenizer_class"),
    ("tokenizer", "auto_map"),
)
_CONFIGS = {
    "scheduler": "scheduler_config.json",
    "image_processor": "preprocessor_config.json",
    "tokenizer": "tokenizer_config.json",
}
_MORE: tuple[Any, ...] = (
    *(10**8, 10**9, 2_000_000, 0, -1, None, [0, 0, 0], [0.0] * 16, [float("nan")] * 16, [0, 1, 1]),
    *("__name__", "logging", "FlaxDDIMScheduler", "deprecate", "AutoencoderKLWan", [10**6] * 4),
    *({"AutoTokenizer": ["evil.Evil", "evil.Evil"]}, {"height": 10**6, "width": 10**6}),
)
CODE = f"import os\nos.mkdir({MARK!r})\nclass Evil:\n    pass\n"


def begin(folder: Path) -> Path:
    """Makes a small model."""
    torch.manual_seed(0)
    vae = _hf.AutoencoderKLWan(
        base_dim=4,
        z_dim=16,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
    )
    made = make_components(make_subword_tokenizer(), vae, make_transformer())
    folder.mkdir()
    _hf.ChronoEditPipeline(**made).save_pretrained(folder / "model")
    weights = folder / "model" / "transformer" / "diffusion_pytorch_model.safetensors"
    (weights.parent / f"{weights.name}.index.json").write_text(
        json.dumps({"metadata": {"total_size": 1}, "weight_map": {"proj_out.weight": weights.name}})
    )
    return folder


def cases(seed: int, count: int) -> Iterator[Case]:
    """Draws where a model is damaged."""
    words = ("predict", "model.name=model", "model.denoising_steps=1", "size=[96,96]", "output=out")
    for index in range(count):
        rng = random.Random(f"{seed}.{index}")
        yield Case(f"model folder {seed}.{index}", words, partial(_spoil, rng))


def _spoil(rng: random.Random, folder: Path) -> None:
    model = folder / "model"
    index = model / "transformer" / "diffusion_pytorch_model.safetensors.index.json"
    if rng.random() < 0.9:
        index.unlink()
    else:
        value = json.dumps({"weight_map": rng.choice(VALUES)}).encode()
        put(index, value)
    if rng.random() < 0.4:
        damage(model, rng)
        return
    part, key = rng.choice(LARGE)
    file = model / part / _CONFIGS.get(part, "config.json")
    if not file.is_file():
        return
    settings = json.loads(file.read_text())
    settings[key] = rng.choice((*VALUES, *_MORE, *_MORE))
    if key == "auto_map":
        settings |= {"auto_map": _MORE[-2], "tokenizer_class": "Evil"}
        (model / part / "evil.py").write_text(CODE)
    put(file, json.dumps(settings).encode("utf-8", "surrogatepass"))
