"""A toy world on disk: frames of 32 x 32 in which a square moves as the words say."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronosim.episodes import EpisodeWriter, Step
from chronosim.types import Frame, Observation, Prediction

SIDE = 32

NETWORKS: dict[str, dict[str, Any]] = {
    "autoencoder": {
        "base_dim": 8,
        "z_dim": 4,
        "dim_mult": [1, 2, 2],
        "num_res_blocks": 1,
        "temperal_downsample": [True, True],
        "in_channels": 12,
        "out_channels": 12,
        "patch_size": 2,
        "scale_factor_spatial": 8,
        "latents_mean": [0.0] * 4,
        "latents_std": [1.0] * 4,
    },
    "transformer": {
        "num_attention_heads": 2,
        "attention_head_dim": 12,
        "in_channels": 12,
        "out_channels": 4,
        "freq_dim": 32,
        "ffn_dim": 32,
        "num_layers": 1,
        "added_kv_proj_dim": 24,
        "rope_temporal_skip_len": 3,
        "rope_max_seq_len": 16,
    },
    "text_encoder": {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2},
    "image_encoder": {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 16,
    },
}


def square(column: int) -> Frame:
    frame = np.full((SIDE, SIDE, 3), 60, np.uint8)
    frame[12:20, column : column + 8] = (200, 40, 40)
    return frame


def record(dataset: Path, episodes: int, steps: int, time: int) -> None:
    """Writes episodes in which the square moves by `time` columns a step, left or right."""
    for episode in range(episodes):
        rng = np.random.default_rng(episode)
        column = 12
        after = Observation(square(column))
        with EpisodeWriter(dataset / f"{episode:04d}", after, {"source": "toy"}) as writer:
            for index in range(steps):
                way = 1 if column < 8 or (column < 16 and rng.random() < 0.5) else -1
                moved = [square(column + way * tick) for tick in range(1, time + 1)]
                column += way * time
                before, after = after, Observation(moved[-1], step=index + 1)
                text = f"Move {'right' if way > 0 else 'left'} by {time} columns."
                prediction = Prediction(np.stack(moved))
                writer.append(Step(before, way, text, index, prediction, after, 0.0, False, False))


@pytest.fixture
def networks() -> dict[str, dict[str, Any]]:
    return NETWORKS


@pytest.fixture
def record_toy() -> Callable[[Path, int, int, int], None]:
    return record
