"""What an encoder carries through blank frames: the observed one's latent, and its place."""

from typing import Any

import numpy as np
import pytest
import torch

from chronosim.training.autoencoder import new_autoencoder
from chronosim.training.carry import CarryObjective, place
from chronosim.training.latents import (
    EncoderTail,
    encode_windows,
    features,
    measure_latents,
    normalize,
    to_tensor,
)
from chronosim.training.windows import Windows


@pytest.fixture
def windows() -> Windows:
    rng = np.random.default_rng(0)
    start = rng.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    return Windows(start, rng.integers(0, 256, (6, 5, 32, 32, 3), dtype=np.uint8), ("go",) * 6)


def test_an_encoder_s_two_halves_make_the_whole(
    networks: dict[str, dict[str, Any]], windows: Windows
) -> None:
    vae = new_autoencoder(networks["autoencoder"])
    clips = to_tensor(np.concatenate([windows.start[:, None], windows.trajectory[:, :4]], axis=1))
    with torch.no_grad():
        whole = vae.encode(clips).latent_dist.mode()
        halves = EncoderTail(vae)(features(vae, clips))
    torch.testing.assert_close(halves, whole, atol=1e-5, rtol=1e-5)


def test_blank_frames_learn_to_carry_the_observed_one_and_nothing_else_moves(
    networks: dict[str, dict[str, Any]], windows: Windows
) -> None:
    torch.manual_seed(0)
    vae = new_autoencoder(networks["autoencoder"])
    measure_latents(vae, windows, count=6)
    objective = CarryObjective(vae, [windows], windows, blanks=2, batch=4)
    before = objective.evaluate()
    assert before["moved"] == 0
    optimizer = torch.optim.Adam(objective.module.parameters(), 1e-3)
    rng, noise = np.random.default_rng(0), torch.Generator()
    for _ in range(25):
        optimizer.zero_grad()
        objective.loss(0, rng, noise).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    after = objective.evaluate()
    assert after["carried"] < 0.5 * before["carried"]
    assert after["moved"] < 0.5 * after["carried"]
    # What a training is then told is what the engine will see: the whole encoder's own answer.
    seen = encode_windows(vae, windows)
    grey = np.concatenate([windows.start[:, None], np.zeros((6, 8, 32, 32, 3), np.uint8)], axis=1)
    clips = to_tensor(grey)
    clips[:, :, 1:] = 0
    with torch.no_grad():
        whole = normalize(vae, vae.encode(clips).latent_dist.mode())[:, :, 1:]
    torch.testing.assert_close(seen.blank.float(), whole, atol=0.05, rtol=0.05)


def test_every_place_has_a_mark_of_its_own() -> None:
    marks = place(8, 4, 6)
    assert marks.shape == (8, 1, 4, 6)
    flat = marks.flatten(1).T
    assert (torch.cdist(flat, flat) + 9 * torch.eye(24)).min() > 0.5
    assert torch.equal(marks[:4, 0, :, 0], marks[:4, 0, :, 5]), "half of them know only the row"
