"""Wan's causal 3D convolutions computed as 2D ones: the same sums, fast on a CPU.

PyTorch has no fast CPU kernel for small 3D convolutions. A causal one is a 2D convolution over the
frames it can see, stacked as channels. What multiplies zeros is left out: the frames before the
first one, and time slices of a kernel that are zero (nano's encoder has many).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["use_all_slices", "use_planar_convolutions"]


class _PlanarCausalConv3d(WanCausalConv3d):
    """A `WanCausalConv3d` whose forward runs through `conv2d`; parameters and results are its own.

    Attributes:
        skipped: Leading time slices of the kernel that are zero, and stay so in a training.
    """

    skipped: int

    def forward(
        self, x: Float[Tensor, "b c t h w"], cache_x: Float[Tensor, "b c past h w"] | None = None
    ) -> Float[Tensor, "b d t2 h2 w2"]:
        weight = self.weight[:, :, self.skipped :]
        taps, past = weight.shape[2], self._padding[4]
        if cache_x is not None and past > 0:
            x = torch.cat([cache_x.to(x.device), x], dim=2)
            past -= cache_x.shape[2]
        if past == self.kernel_size[0] - 1 and x.shape[2] == 1:
            weight, taps = weight[:, :, -1:], 1  # everything before the first frame is zero
        else:
            x = F.pad(x, (0, 0, 0, 0, past, 0))[:, :, self.skipped :]
        batch = x.shape[0]
        windows = x.unfold(2, taps, self.stride[0])  # b c t2 h w taps
        out_time = windows.shape[2]
        planes = windows.permute(0, 2, 5, 1, 3, 4).reshape(batch * out_time, -1, *x.shape[3:])
        kernel = weight.permute(0, 2, 1, 3, 4).flatten(1, 2)
        y = F.conv2d(
            planes.contiguous(memory_format=torch.channels_last),
            kernel.contiguous(memory_format=torch.channels_last),
            self.bias,
            stride=self.stride[1:],
            padding=(self._padding[2], self._padding[0]),
        )
        return torch.unflatten(y, 0, (batch, out_time)).transpose(1, 2)


def use_planar_convolutions(module: nn.Module) -> None:
    """Makes an autoencoder, or a part of one, compute its causal convolutions as 2D ones, in place.

    Parameters, state dict and results stay the same; float32 results differ by rounding, which
    depends on the number of threads (seen: 1.4e-5 at most, on pixels in [-1, 1]).
    Time slices that are zero now are skipped from now on: they get no gradient.
    """
    for convolution in module.modules():
        if isinstance(convolution, WanCausalConv3d):
            convolution.__class__ = _PlanarCausalConv3d
            convolution.skipped = _blank_slices(convolution)


def use_all_slices(module: nn.Module) -> None:
    """Takes back that zero time slices are skipped: a training can fill them."""
    for convolution in module.modules():
        if isinstance(convolution, _PlanarCausalConv3d):
            convolution.skipped = 0


def _blank_slices(convolution: WanCausalConv3d) -> int:
    """How many of the kernel's oldest time slices are all zero; the newest is never counted."""
    slices = convolution.weight.detach().abs().amax((0, 1, 3, 4))
    used = torch.nonzero(slices[:-1])
    return int(used[0]) if len(used) else len(slices) - 1
