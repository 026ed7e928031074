"""Flow matching: what is observed is disturbed in training, and never in an evaluation."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from chronosim.training.autoencoder import new_autoencoder
from chronosim.training.flow import FlowObjective
from chronosim.training.latents import TrainingSet, encode_windows
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


def test_words_that_name_a_place_are_pointed_at(objective: FlowObjective) -> None:
    text = ("go to x=20% y=80%.",) * 4
    (plain,) = objective.sets
    named = TrainingSet(plain.latents, replace(plain.windows, text=text), plain.tokens)

    def loss(learned: TrainingSet, *, point: float) -> float:
        one = replace(objective, sets=[learned], stress=1.0, drop=0.0, point=point)
        return one.loss(0.0, np.random.default_rng(0), torch.Generator().manual_seed(0)).item()

    assert loss(plain, point=0.0) == loss(plain, point=1.0) == loss(named, point=0.0)
    assert loss(named, point=1.0) > loss(named, point=0.0) + 1


def test_cells_that_change_weigh_more(objective: FlowObjective) -> None:
    (learned,) = objective.sets
    still = learned.latents.start.clone()
    moved = still.clone()
    moved[:, :, 0, 0] += 2.0
    latents = replace(learned.latents, start=still, clip=moved.unsqueeze(2))
    asked = replace(objective, sets=[replace(learned, latents=latents)], pure=1.0, disturb=0.0)
    untrained = [
        replace(asked, stress=stress)
        .loss(progress, np.random.default_rng(0), torch.Generator().manual_seed(0))
        .item()
        for stress, progress in ((5.0, 0.0), (1.0, 0.0), (5.0, 0.9))
    ]
    assert untrained[0] > untrained[1] == untrained[2]
