"""Windows as latents: as the autoencoder itself would encode them, at less cost."""

from typing import Any

import numpy as np
import torch

from chronosim.training.autoencoder import new_autoencoder
from chronosim.training.latents import encode_windows, to_tensor
from chronosim.training.windows import Windows


def test_an_outcome_is_encoded_as_four_of_its_frames(networks: dict[str, dict[str, Any]]) -> None:
    vae = new_autoencoder(networks["autoencoder"])
    with torch.no_grad():
        for weight in vae.encoder.parameters():  # as after a training
            weight += 0.02 * torch.randn(weight.shape) * (weight != 0)
    rng = np.random.default_rng(0)
    start = rng.integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    trajectory = rng.integers(0, 256, (3, 5, 32, 32, 3), dtype=np.uint8)
    latents = encode_windows(vae, Windows(start, trajectory, ("a", "b", "c")))
    repeated = np.repeat(trajectory[:, -1:], 4, axis=1)
    for slot, clip in ((0, trajectory[:, :4]), (1, repeated)):
        video = to_tensor(np.concatenate([start[:, None], clip], axis=1))
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            whole = vae.encode(video).latent_dist.mode().float()
        torch.testing.assert_close(latents.start, whole[:, :, 0], atol=0.02, rtol=0.02)
        torch.testing.assert_close(latents.clip[:, :, slot], whole[:, :, 1], atol=0.02, rtol=0.02)
