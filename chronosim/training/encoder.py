"""A Wan encoder in two halves: what sees a latent by itself, and what looks back over latents."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLWan
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["EncoderTail", "blank_features", "features"]

_FRAMES = 4  # of a latent


@torch.no_grad()
def features(vae: AutoencoderKLWan, clips: Float[Tensor, "batch 3 time height width"]) -> Tensor:
    """What an encoder makes of clips before its middle, where each latent is still by itself."""
    found: list[Tensor] = []
    hook = vae.encoder.mid_block.register_forward_pre_hook(
        lambda _, called: found.append(called[0].float())
    )
    try:
        vae.encode(clips)
    finally:
        hook.remove()
    return torch.cat(found, dim=2)


class EncoderTail(nn.Module):
    """The layers of an encoder that look back over latents: the middle and all behind it.

    Args:
        vae: Whose layers they are; they are shared with it, not copied.
    """

    def __init__(self, vae: AutoencoderKLWan) -> None:
        super().__init__()
        encoder = vae.encoder
        self.middle, self.norm, self.head = encoder.mid_block, encoder.norm_out, encoder.conv_out
        self.quantize = vae.quant_conv

    def forward(
        self, found: Float[Tensor, "batch features latents h w"]
    ) -> Float[Tensor, "batch channels latents h w"]:
        """Gives the means of the latents, as `AutoencoderKLWan.encode` would."""
        planes = self.head(F.silu(self.norm(self.middle(found))))
        means: Tensor = self.quantize(planes).chunk(2, dim=1)[0].float()
        return means


def blank_features(
    vae: AutoencoderKLWan, size: tuple[int, ...], latents: int
) -> Float[Tensor, "1 features {latents} h w"]:
    """The features of blank latents behind a frame, whatever the frame.

    Args:
        vae: The autoencoder.
        size: Height and width of a frame; more behind them does not count.
        latents: How many.
    """
    clip = torch.zeros(1, 3, 1 + _FRAMES * latents, *size[:2])
    with torch.autocast("cpu", torch.bfloat16):
        return features(vae, clip)[:, :, 1:]
