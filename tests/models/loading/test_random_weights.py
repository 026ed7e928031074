"""The shape of the 14B model, as far as it can be had without a GPU."""

import json
import re
from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
import transformers

from chronosim.errors import InvalidConfig
from chronosim.models.engine.denoising import read_scheduler
from chronosim.models.loading.architecture import CHRONOEDIT_14B, PUBLISHED_BYTES
from chronosim.models.loading.checkpoint import empty_transformer, original_name, parameter_names
from chronosim.models.loading.placement import GIB
from chronosim.models.loading.presets import PRESETS
from chronosim.models.loading.random_weights import make_14b_shape, make_networks


def needed(rows: int) -> int:
    with pytest.raises(InvalidConfig, match="shape=true14b needs a GPU") as raised:
        make_14b_shape(torch.device("cuda"), (480, 832), rows)
    [gib] = re.findall(r"about (\d+) GiB", str(raised.value))
    return int(gib)


def test_memory_is_reckoned_in_bfloat16_and_for_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chronosim.models.loading.random_weights.free_memory", lambda _: 10 * GIB)
    assert needed(1) < 60  # in float32 the weights alone take over 80
    assert needed(32) > needed(1) + 10


def test_the_networks_are_made_to_decode_rows_one_by_one() -> None:
    networks = make_networks(torch.device("meta"))
    assert networks["vae"].use_slicing
    assert networks["transformer"].dtype == torch.bfloat16
    for part, count in CHRONOEDIT_14B.parameters.items():
        assert sum(weight.numel() for weight in networks[part].parameters()) == count
    sizes = Counter(weight.numel() for weight in networks["text_encoder"].parameters())
    assert sizes == CHRONOEDIT_14B.text
    blocks = Counter(weight.numel() for weight in networks["transformer"].blocks[0].parameters())
    assert blocks == CHRONOEDIT_14B.block


# What nvidia/ChronoEdit-14B-Diffusers was published with, by a third party's copy of November 2025:
# the values of its configs that shape it, its names of weights, and the bytes of all of them.
PUBLISHED: dict[str, dict[str, Any]] = {
    "transformer": {
        "_class_name": "WanTransformer3DModel",
        "added_kv_proj_dim": 5120,
        "attention_head_dim": 128,
        "cross_attn_norm": True,
        "eps": 1e-06,
        "ffn_dim": 13824,
        "freq_dim": 256,
        "image_dim": 1280,
        "in_channels": 36,
        "num_attention_heads": 40,
        "num_layers": 40,
        "out_channels": 16,
        "patch_size": [1, 2, 2],
        "qk_norm": "rms_norm_across_heads",
        "rope_max_seq_len": 1024,
        "text_dim": 4096,
    },
    "text_encoder": {
        "model_type": "umt5",
        "d_ff": 10240,
        "d_kv": 64,
        "d_model": 4096,
        "feed_forward_proj": "gated-gelu",
        "num_heads": 64,
        "num_layers": 24,
        "tie_word_embeddings": False,
        "vocab_size": 256384,
    },
    "image_encoder": {
        "model_type": "clip_vision_model",
        "hidden_act": "gelu",
        "hidden_size": 1280,
        "image_size": 224,
        "intermediate_size": 5120,
        "num_attention_heads": 16,
        "num_hidden_layers": 32,
        "patch_size": 14,
        "projection_dim": 1024,
    },
    "vae": {
        "_class_name": "AutoencoderKLWan",
        "attn_scales": [],
        "base_dim": 96,
        "dim_mult": [1, 2, 4, 4],
        "num_res_blocks": 2,
        "temperal_downsample": [False, True, True],
        "z_dim": 16,
    },
    "scheduler": {
        "_class_name": "UniPCMultistepScheduler",
        "flow_shift": 5.0,
        "prediction_type": "flow_prediction",
        "solver_order": 2,
        "solver_type": "bh2",
        "use_flow_sigmas": True,
    },
}
BYTES = 65_579_515_136  # in float32: total_size of the transformer's index

WIDE, INNER, WORDS, PATCHES = 5120, 13824, 4096, 1280
LINEAR = {
    **{f"attn{n}.{part}": (WIDE, WIDE) for n, part in product((1, 2), ("to_q", "to_k", "to_v"))},
    **{f"attn{n}.to_out.0": (WIDE, WIDE) for n in (1, 2)},
    **{f"attn2.{part}": (WIDE, WIDE) for part in ("add_k_proj", "add_v_proj")},
    "ffn.net.0.proj": (INNER, WIDE),
    "ffn.net.2": (WIDE, INNER),
}
NORMS = ["attn1.norm_q", "attn1.norm_k", "attn2.norm_q", "attn2.norm_k", "attn2.norm_added_k"]
EMBEDDERS = {
    "image_embedder.ff.net.0.proj": (PATCHES, PATCHES),
    "image_embedder.ff.net.2": (WIDE, PATCHES),
    "text_embedder.linear_1": (WIDE, WORDS),
    "text_embedder.linear_2": (WIDE, WIDE),
    "time_embedder.linear_1": (WIDE, 256),
    "time_embedder.linear_2": (WIDE, WIDE),
    "time_proj": (6 * WIDE, WIDE),
}


def published_shapes() -> dict[str, tuple[int, ...]]:
    """The names in the published index, each with the shape that Wan2.1 gives it."""
    shapes: dict[str, tuple[int, ...]] = {
        "patch_embedding.weight": (WIDE, 36, 1, 2, 2),
        "patch_embedding.bias": (WIDE,),
        "proj_out.weight": (64, WIDE),
        "proj_out.bias": (64,),
        "scale_shift_table": (1, 2, WIDE),
    }
    for name, shape in EMBEDDERS.items():
        shapes |= {f"condition_embedder.{name}.weight": shape}
        shapes |= {f"condition_embedder.{name}.bias": shape[:1]}
    for name, width in (("norm1", PATCHES), ("norm2", WIDE)):
        key = f"condition_embedder.image_embedder.{name}"
        shapes |= {f"{key}.weight": (width,), f"{key}.bias": (width,)}
    for block in (f"blocks.{index}" for index in range(40)):
        for name, shape in LINEAR.items():
            shapes |= {f"{block}.{name}.weight": shape, f"{block}.{name}.bias": shape[:1]}
        shapes |= {f"{block}.{name}.weight": (WIDE,) for name in NORMS}
        shapes |= {f"{block}.norm2.{part}": (WIDE,) for part in ("weight", "bias")}
        shapes[f"{block}.scale_shift_table"] = (1, 6, WIDE)
    return shapes


def test_every_weight_of_the_published_transformer_has_its_place(tmp_path: Path) -> None:
    (tmp_path / "transformer").mkdir()
    config = tmp_path / "transformer" / "config.json"
    config.write_text(json.dumps(PUBLISHED["transformer"]))
    transformer = empty_transformer(tmp_path)
    shapes = {name: tuple(weight.shape) for name, weight in transformer.named_parameters()}
    assert shapes == published_shapes()
    assert len(shapes) == 40 * 32 + 23
    assert 4 * sum(weight.numel() for weight in transformer.parameters()) == BYTES
    assert PUBLISHED_BYTES["transformer"] * CHRONOEDIT_14B.parameters["transformer"] == BYTES
    assert transformer.config.rope_temporal_skip_len == 8
    # By Wan's own names too, as the single files of others have them.
    names = parameter_names(transformer)
    assert {names[original_name(name)] for name in shapes} == set(shapes)


def test_all_networks_have_the_published_shapes() -> None:
    """On the meta device: what `bench` times, and plans are made of, is what is downloaded."""
    hf: Any = transformers
    with torch.device("meta"):
        text = hf.UMT5EncoderModel(hf.UMT5Config(**PUBLISHED["text_encoder"]))
        vision = hf.CLIPVisionModel(hf.CLIPVisionConfig(**PUBLISHED["image_encoder"]))
        kind: Any = diffusers.AutoencoderKLWan
        vae = kind.from_config(PUBLISHED["vae"])
    expected = {
        part: {name: tuple(weight.shape) for name, weight in network.named_parameters()}
        for part, network in (("text_encoder", text), ("image_encoder", vision), ("vae", vae))
    }
    expected["transformer"] = published_shapes()
    for part, network in make_networks(torch.device("meta")).items():
        shapes = {name: tuple(weight.shape) for name, weight in network.named_parameters()}
        assert shapes == expected[part], part
    assert expected["text_encoder"]["shared.weight"] == (256_384, 4096)
    assert expected["vae"]["decoder.conv_in.weight"] == (384, 16, 3, 3, 3)


def test_the_presets_sample_as_the_published_scheduler() -> None:
    own = read_scheduler(PUBLISHED["scheduler"])
    ours = PRESETS["chronoedit-14b"].sampling
    assert own == {"scheduler": ours.scheduler, "flow_shift": ours.flow_shift}
