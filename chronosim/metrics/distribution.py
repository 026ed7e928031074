"""Distances between sets: whether frames, or clips, look on the whole like real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64, UInt8

from chronosim.errors import InvalidConfig
from chronosim.metrics.perceptual import Features, ScriptedNetwork
from chronosim.types import Frame, Trajectory

_BATCH = 16


@dataclass(frozen=True, slots=True, eq=False)
class Distance:
    """A Fréchet distance in a network's features: FID of frames, FVD of clips.

    The figure depends on the network, on how many were compared and, of clips, on their length:
    numbers of different settings cannot be compared.

    Attributes:
        network: Gives a vector for each frame (batch, 3, height, width) or clip (batch, 3, time,
            height, width), uint8.
        name: Of the network, for the settings beside the figure.
    """

    network: Features
    name: str

    def of_frames(self, a: Sequence[Frame], b: Sequence[Frame]) -> float:
        """Gives the FID between two sets of frames, each at least 2, all of one size."""
        return self._measure(a, b)

    def of_clips(self, a: Sequence[Trajectory], b: Sequence[Trajectory]) -> float:
        """Gives the FVD between two sets of clips, each at least 2, all of one length and size."""
        return self._measure(a, b)

    def _measure(self, a: Sequence[UInt8[np.ndarray, "*shape"]], b: Sequence[Any]) -> float:
        return frechet_distance(self._features(a), self._features(b))

    def _features(
        self, things: Sequence[UInt8[np.ndarray, "*shape"]]
    ) -> Float64[np.ndarray, "things features"]:
        batches = []
        for first in range(0, len(things), _BATCH):
            stacked = np.stack(things[first : first + _BATCH])
            frames = torch.from_numpy(np.moveaxis(stacked, -1, 1).copy())
            with torch.inference_mode():
                batches.append(self.network(frames))
        return torch.cat(batches).double().numpy()


def frechet_distance(
    a: Float64[np.ndarray, "n features"], b: Float64[np.ndarray, "m features"]
) -> float:
    """Gives the Fréchet distance between the Gaussians that fit two sets of vectors.

    Args:
        a: At least 2 vectors.
        b: At least 2, of the same length.

    Raises:
        InvalidConfig: There are fewer.

    Source: Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash
        equilibrium", NeurIPS 2017. The trace of the root of the product of the covariances is the
        sum of the roots of its eigenvalues, which needs no matrix root.
    """
    if min(len(a), len(b)) < 2:
        raise InvalidConfig(
            f"a distance between sets needs at least 2 of each, not {len(a)} and {len(b)}"
        )
    difference = a.mean(0) - b.mean(0)
    ours, theirs = np.atleast_2d(np.cov(a.T)), np.atleast_2d(np.cov(b.T))
    roots = np.sqrt(np.linalg.eigvals(ours @ theirs).astype(complex)).real.sum()
    distance = difference @ difference + np.trace(ours) + np.trace(theirs) - 2 * roots
    return float(max(distance, 0.0))


def load_inception(path: str | Path, *, device: str = "cpu") -> Distance:
    """Gives FID's distance, with the Inception network in a file.

    Args:
        path: `inception-2015-12-05.pt`, a translation of the original to TorchScript, as
            StyleGAN2-ADA and clean-fid pass it around.
        device: Where it computes.

    Raises:
        ModelNotFound: There is no such file.
        InvalidModel: It is no TorchScript.
    """
    source = (
        "FID needs Inception in TorchScript: download inception-2015-12-05.pt (the metrics of "
        "NVlabs/stylegan2-ada-pytorch)"
    )
    network = ScriptedNetwork(path, source=source, device=device, return_features=True)
    return Distance(network, network.path.name)


def load_i3d(path: str | Path, *, device: str = "cpu") -> Distance:
    """Gives FVD's distance, with the I3D network in a file; clips need at least 10 frames.

    Args:
        path: `i3d_torchscript.pt`, as StyleGAN-V passes it around; it scales values and sizes
            itself.
        device: Where it computes.

    Raises:
        ModelNotFound: There is no such file.
        InvalidModel: It is no TorchScript.
    """
    source = (
        "FVD needs I3D in TorchScript: download i3d_torchscript.pt (the metrics of "
        "universome/stylegan-v)"
    )
    network = ScriptedNetwork(
        path, source=source, device=device, rescale=True, resize=True, return_features=True
    )
    return Distance(network, network.path.name)
