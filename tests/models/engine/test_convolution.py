"""Planar convolutions compute what Wan's causal 3D convolutions compute."""

from functools import partial
from typing import Any

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan as Autoencoder

from chronosim.models.engine.acceleration import use_planar_convolutions

AutoencoderKLWan: Any = Autoencoder  # untyped


def make_pair(**config: Any) -> tuple[Any, Any]:
    torch.manual_seed(0)
    config = {"base_dim": 8, "z_dim": 4, "num_res_blocks": 1} | config
    config |= {"latents_mean": [0.0] * 4, "latents_std": [1.0] * 4}
    stock = AutoencoderKLWan(**config).eval()
    planar = AutoencoderKLWan(**config).eval()
    planar.load_state_dict(stock.state_dict())
    use_planar_convolutions(planar)
    return stock, planar


# Sums in another order: float32 rounding, through every layer of an autoencoder.
assert_equal = partial(torch.testing.assert_close, atol=5e-5, rtol=1e-5)

CONFIGS = {
    "published": {"dim_mult": [1, 1, 2, 2], "temperal_downsample": [False, True, True]},
    "nano": {
        "dim_mult": [1, 2, 4],
        "temperal_downsample": [True, True],
        "in_channels": 12,
        "out_channels": 12,
        "patch_size": 2,
    },
}


@pytest.mark.parametrize("frames", [1, 5, 9, 13])
@pytest.mark.parametrize("config", CONFIGS)
def test_encode_and_decode_equal_stock(config: str, frames: int) -> None:
    stock, planar = make_pair(**CONFIGS[config])
    video = torch.rand(2, 3, frames, 32, 16) * 2 - 1
    with torch.no_grad():
        latents = stock.encode(video).latent_dist.mode()
        assert_equal(planar.encode(video).latent_dist.mode(), latents)
        decoded = stock.decode(latents).sample
        assert_equal(planar.decode(latents).sample, decoded)
    assert decoded.shape == video.shape
    assert decoded.std() > 0.01  # something is drawn, not a constant


@pytest.mark.parametrize("frames", [1, 9])
def test_gradients_equal_stock(frames: int) -> None:
    video = torch.rand(1, 3, frames, 16, 16) * 2 - 1
    gradients = []
    for vae in make_pair(**CONFIGS["nano"]):
        loss = (vae.decode(vae.encode(video).latent_dist.mode()).sample - video).square().mean()
        loss.backward()
        gradients.append({name: value.grad for name, value in vae.named_parameters()})
    stock, planar = gradients
    assert stock.keys() == planar.keys()
    for name, gradient in stock.items():
        # What meets only zeros has no gradient there and a gradient of zeros here, or none in both.
        mine = planar[name]
        if gradient is None or mine is None:
            assert all(value is None or not value.any() for value in (gradient, mine)), name
        else:
            torch.testing.assert_close(mine, gradient, atol=1e-5, rtol=1e-4, msg=name)


def test_a_planar_autoencoder_keeps_its_state_dict_and_config() -> None:
    stock, planar = make_pair(**CONFIGS["nano"])
    assert planar.config == stock.config
    assert planar.state_dict().keys() == stock.state_dict().keys()
