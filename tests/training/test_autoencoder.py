"""An autoencoder that learned stills knows still clips, and its encoder looks four frames back."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
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


def undoing(vae: Any, time: int, trips: int = 3) -> AutoencoderObjective:
    frames = np.random.default_rng(1).integers(0, 256, (6, time + 1, 32, 32, 3), dtype=np.uint8)
    windows = Windows(frames[:, 0], frames[:, 1:], ("",) * 6)
    return AutoencoderObjective(vae, [windows], [windows], batch=4, trips=trips)


def test_frames_have_travelled_before_the_trip_that_is_trained_and_moving_clips_have_not(
    networks: dict[str, dict[str, Any]],
) -> None:
    objective = undoing(new_autoencoder(networks["autoencoder"]), time=5)
    frames = to_tensor(objective.windows[0].trajectory)
    still, pair = frames[:, :, :1], frames[:, :, :1].repeat(1, 1, 5, 1, 1)
    pair[:, :, 1:] = frames[:, :, 1:2]
    for clips in (still, pair):
        before, changed = clips.clone(), set()
        for seed in range(20):
            seen = objective._travelled(clips, np.random.default_rng(seed))
            changed.add(bool((seen != clips).any()))
            assert torch.equal(seen[:, :, 1:], seen[:, :, -1:].expand_as(seen[:, :, 1:]))
            values = (seen + 1) * 127.5
            torch.testing.assert_close(values, values.round(), atol=1e-3, rtol=0)  # as frames are
        assert changed == {True, False}
        assert torch.equal(clips, before)
    assert torch.equal(objective._travelled(frames, np.random.default_rng(0)), frames)


@pytest.mark.parametrize("time", [1, 5])
def test_what_comes_out_is_held_to_the_true_frame(
    networks: dict[str, dict[str, Any]], time: int
) -> None:
    objective = undoing(new_autoencoder(networks["autoencoder"]), time)
    sizes = set()
    for seed in range(12):
        drawn = objective._draw(objective.windows[0], np.random.default_rng(seed))
        sizes.add((len(drawn), drawn.shape[2]))
    assert sizes == {(4, 1), (2, 5)}
    loss = objective.loss(0, np.random.default_rng(0), torch.Generator().manual_seed(0))
    loss.backward()  # type: ignore[no-untyped-call]
    assert objective.vae.encoder.conv_in.weight.grad is not None
    assert set(objective.evaluate()) == {"psnr", "psnr_10", "latent_std"}


def test_a_decoder_learns_alone_and_latents_stay(networks: dict[str, dict[str, Any]]) -> None:
    vae = new_autoencoder(networks["autoencoder"])
    objective = undoing(vae, time=5)
    objective = replace(objective, encodes=False)
    objective.loss(0, np.random.default_rng(0), torch.Generator().manual_seed(0)).backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is None for p in (*vae.encoder.parameters(), *vae.quant_conv.parameters()))
    assert vae.decoder.conv_out.weight.grad.abs().sum() > 0
