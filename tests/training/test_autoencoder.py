"""An autoencoder that learned stills knows still clips, and its encoder looks four frames back."""

from typing import Any

import numpy as np
import torch

from chronosim.training.autoencoder import (
    AutoencoderObjective,
    new_autoencoder,
)
from chronosim.training.latents import to_pixels, to_tensor
from chronosim.training.windows import Windows


def test_a_new_autoencoder_treats_a_still_clip_as_its_frame(
    networks: dict[str, dict[str, Any]],
) -> None:
    vae = new_autoencoder(networks["autoencoder"])
    frame = torch.rand(1, 3, 1, 32, 32) * 2 - 1
    with torch.no_grad():
        one = vae.encode(frame).latent_dist.mode()
        many = vae.encode(frame.expand(-1, -1, 5, -1, -1)).latent_dist.mode()
        torch.testing.assert_close(many, one.expand_as(many), atol=1e-5, rtol=1e-5)
        decoded = vae.decode(many).sample
        torch.testing.assert_close(
            decoded, vae.decode(one).sample.expand_as(decoded), atol=1e-5, rtol=1e-5
        )


def test_after_training_latents_still_do_not_depend_on_what_came_before(
    networks: dict[str, dict[str, Any]],
) -> None:
    vae = new_autoencoder(networks["autoencoder"])
    clip = torch.rand(1, 3, 5, 32, 32) * 2 - 1
    optimizer = torch.optim.SGD(vae.parameters(), 0.1)
    for _ in range(2):
        loss = (vae.decode(vae.encode(clip).latent_dist.mode()).sample - clip).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    other = clip.clone()
    other[:, :, 0] *= -1
    with torch.no_grad():
        a, b = (vae.encode(x).latent_dist.mode() for x in (clip, other))
    assert torch.equal(a[:, :, 1], b[:, :, 1])
    assert not torch.equal(a[:, :, 0], b[:, :, 0])
    # but the decoder has learned to look back
    weight = vae.decoder.conv_in.weight
    assert weight[:, :, 1].abs().sum() > 0


def test_frames_survive_the_way_to_tensors_and_back() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8, 3), dtype=np.uint8)
    assert (to_pixels(to_tensor(frames)) == frames).all()


def test_what_is_painted_white_all_over_can_still_be_learned(
    networks: dict[str, dict[str, Any]],
) -> None:
    # AutoencoderKLWan clamps what it decodes; beyond the clamp there is no gradient.
    vae = new_autoencoder(networks["autoencoder"])
    with torch.no_grad():
        vae.decoder.conv_out.bias.fill_(2.0)
        vae.decoder.conv_out.weight.zero_()
    frames = np.full((2, 32, 32, 3), 255, np.uint8)
    frames[:, 12:20, 12:20] = 0
    windows = Windows(frames, frames[:, None], ("", ""))
    objective = AutoencoderObjective(vae, [windows], [windows], batch=2)
    objective.loss(0, np.random.default_rng(0), torch.Generator().manual_seed(0)).backward()  # type: ignore[no-untyped-call]
    assert vae.decoder.conv_out.bias.grad.abs().min() > 0
