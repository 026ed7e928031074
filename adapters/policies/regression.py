"""A small convolutional network from frames to numbers, learned in seconds on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import nn
from torch.nn import functional as F

_SIDE = 96  # pixels a side that frames of another size are scaled to
_BATCH = 32
_PLACES = 6  # a side of the last feature map: where a thing is must not be pooled away

Stacks = UInt8[np.ndarray, "n height width channels"]
Vectors = Float32[np.ndarray, "n size"]


class FrameRegressor(nn.Module):
    """Three strided convolutions and two layers, over frames stacked by channel and a vector.

    As in nano's autoencoder, 2 x 2 pixels become channels first: on a CPU that halves the time.

    Args:
        channels: Of the stacked frames: 3 a frame.
        vector: Numbers beside them; 0: none.
        outputs: Numbers to be told.
        width: Channels of the first layer.
        seed: Of the first weights.
    """

    def __init__(
        self, channels: int, vector: int, outputs: int, *, width: int = 16, seed: int = 0
    ) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            sizes = [4 * channels, width, 2 * width, 2 * width]
            layers: list[nn.Module] = [nn.PixelUnshuffle(2)]
            for into, out in pairwise(sizes):
                layers += [nn.Conv2d(into, out, 3, stride=2, padding=1), nn.ReLU()]
            self.looks = nn.Sequential(*layers, nn.Flatten())
            self.tells = nn.Sequential(
                nn.Linear(2 * width * _PLACES**2 + vector, 8 * width),
                nn.ReLU(),
                nn.Linear(8 * width, outputs),
            )

    def forward(self, frames: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        """Tells the numbers.

        Args:
            frames: uint8 (n, height, width, channels).
            vectors: float32 (n, vector).

        Returns:
            float32 (n, outputs).
        """
        pictures = frames.permute(0, 3, 1, 2).float() / 127.5 - 1
        if pictures.shape[2:] != (_SIDE, _SIDE):
            pictures = F.interpolate(pictures, (_SIDE, _SIDE), mode="area")
        return self.tells(torch.cat([self.looks(pictures), vectors], dim=1))


def fit(
    network: FrameRegressor,
    frames: Stacks,
    vectors: Vectors,
    targets: np.ndarray,
    *,
    epochs: int,
    seed: int = 0,
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = F.mse_loss,
    progress: Callable[[], object] | None = None,
) -> None:
    """Learns from examples, by Adam with a learning rate that falls from 0.001 to 0.

    Args:
        network: Learns in place.
        frames: uint8 (n, height, width, channels).
        vectors: float32 (n, vector).
        targets: What should be told: float32 (n, outputs), or what else the loss compares with.
        epochs: Passes over the examples.
        seed: Of their order.
        loss: Of outputs and targets.
        progress: Called after each pass.
    """
    rng = np.random.default_rng(seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    batches = -(-len(frames) // _BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=epochs * batches)
    pictures, numbers, wanted = map(torch.from_numpy, (frames, vectors, targets))
    network.train()
    for _ in range(epochs):
        for chosen in np.array_split(rng.permutation(len(frames)), batches):
            index = torch.from_numpy(chosen)
            told = network(pictures[index], numbers[index])
            optimizer.zero_grad()
            loss(told, wanted[index]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
        if progress is not None:
            progress()
    network.eval()


@torch.no_grad()
def forecast(
    network: FrameRegressor, frames: Stacks, vectors: Vectors
) -> Float32[np.ndarray, "n outputs"]:
    """Tells the numbers for many frames.

    Args:
        network: Learned.
        frames: uint8 (n, height, width, channels).
        vectors: float32 (n, vector).

    Returns:
        float32 (n, outputs).
    """
    told = [
        network(torch.from_numpy(frames[i : i + _BATCH]), torch.from_numpy(vectors[i : i + _BATCH]))
        for i in range(0, len(frames), _BATCH)
    ]
    return np.asarray(torch.cat(told).numpy())
