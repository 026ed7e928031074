"""Flow matching: what is observed is disturbed in training, and never in an evaluation."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from chronosim.training.autoencoder import new_autoencoder
from chronosim.training.flow import FlowObjective, TrainingSet
from chronosim.training.latents import encode_windows
from chronosim.training.pipeline import new_world
from chronosim.training.windows import Windows
from chronosim.training.words import new_tokenizer


@pytest.fixture
def objective(networks: dict[str, dict[str, Any]]) -> FlowObjective:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    start = rng.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    windows = Windows(
        start, rng.integers(0, 256, (4, 1, 32, 32, 3), dtype=np.uint8), ("go", "stop") * 2
    )
    tokenizer = new_tokenizer(windows.text)
    latents = encode_windows(new_autoencoder(networks["autoencoder"]), windows)
    learned = TrainingSet.of(latents, windows, tokenizer)
    empty = torch.tensor(tokenizer("").input_ids)
    world = new_world(networks, tokenizer).eval()  # no dropout
    return FlowObjective(world, [learned], learned, empty, batch=4)


def test_what_is_observed_is_disturbed_in_training_alone(objective: FlowObjective) -> None:
    calm = replace(objective, disturb=0.0)
    losses = [
        one.loss(0.0, np.random.default_rng(0), torch.Generator().manual_seed(0)).item()
        for one in (objective, replace(objective), calm)
    ]
    assert losses[0] == losses[1] != losses[2]
    assert objective.evaluate() == calm.evaluate()
