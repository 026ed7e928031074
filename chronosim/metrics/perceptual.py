"""LPIPS: how different two frames look, by the features of a network."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64, UInt8
from safetensors.torch import load
from torch import Tensor, nn

from chronosim.errors import InvalidFrame, InvalidModel, ModelNotFound
from chronosim.files import user_path
from chronosim.types import Frames

Layers = Callable[[Float[Tensor, "batch 3 height width"]], Sequence[Tensor]]
"""From frames, normalised, to the feature maps (batch, channels, rows, columns) of some layers."""

_BATCH = 32
_SMALLEST = 32  # pixels a side that AlexNet's five convolutions need
# What lpips brings [0, 1] to before the network: ImageNet's means and deviations, for it takes
# frames in [-1, 1] and shifts them by (-0.030, -0.088, -0.188), scaled by (0.458, 0.448, 0.450).
_SHIFT = torch.tensor([-0.030, -0.088, -0.188]).view(3, 1, 1)
_SCALE = torch.tensor([0.458, 0.448, 0.450]).view(3, 1, 1)


class Perceptual:
    """The LPIPS distance: 0 for equal frames, about 0.5 and more for unrelated ones.

    Args:
        layers: The network.
        heads: How much each channel of each of its layers counts, >= 0.
        name: Of the network, for the settings beside the figure.
        device: Where the network computes.

    Source: Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric",
        CVPR 2018, version 0.1 of its weights.
    """

    def __init__(
        self,
        layers: Layers,
        heads: Sequence[Float[Tensor, " _"]],
        *,
        name: str,
        device: str = "cpu",
    ) -> None:
        self.name = name
        self._layers = layers
        self._heads = [head.to(device) for head in heads]
        self._device = torch.device(device)

    def __call__(self, predicted: Frames, true: Frames) -> Float64[np.ndarray, " n"]:
        """Gives the distance of each pair of frames.

        Args:
            predicted: uint8 (n, height, width, 3), at least 32 pixels a side.
            true: Of the same shape.

        Raises:
            InvalidFrame: They are smaller than that.
            InvalidModel: The network has other layers than there are heads.
        """
        if min(predicted.shape[1:3]) < _SMALLEST:
            raise InvalidFrame(
                f"LPIPS needs frames of at least {_SMALLEST} pixels a side, "
                f"not {predicted.shape[1]} x {predicted.shape[2]}"
            )
        found = []
        for first in range(0, len(predicted), _BATCH):
            part = slice(first, first + _BATCH)
            with torch.inference_mode():
                found.append(self._compare(predicted[part], true[part]))
        return torch.cat(found).double().cpu().numpy()

    def _compare(self, predicted: Frames, true: Frames) -> Float[Tensor, " n"]:
        ours, theirs = (self._layers(self._prepare(frames)) for frames in (predicted, true))
        if [layer.shape[1] for layer in ours] != [len(head) for head in self._heads]:
            raise InvalidModel(
                f"{self.name} has layers of {[layer.shape[1] for layer in ours]} channels, but the "
                f"weights of LPIPS are for {[len(head) for head in self._heads]}"
            )
        distances = torch.zeros(len(predicted), device=self._device)
        for a, b, head in zip(ours, theirs, self._heads, strict=True):
            squared = (_unit(a) - _unit(b)) ** 2
            distances += torch.einsum("bchw,c->bhw", squared, head).mean((1, 2))
        return distances

    def _prepare(self, frames: Frames) -> Float[Tensor, "batch 3 height width"]:
        stacked = torch.from_numpy(np.ascontiguousarray(frames.transpose(0, 3, 1, 2)))
        return ((stacked / 127.5 - 1 - _SHIFT) / _SCALE).to(self._device)


class _AlexNet(nn.Module):
    """The convolutions of AlexNet, named and shaped as torchvision's, each with its ReLU.

    Source: Krizhevsky, "One weird trick for parallelizing convolutional neural networks",
        arXiv 1404.5997.
    """

    def __init__(self) -> None:
        super().__init__()
        relu, pool = nn.ReLU(), nn.MaxPool2d(3, 2)
        self.features = nn.Sequential(
            *(nn.Conv2d(3, 64, 11, 4, 2), relu, pool),
            *(nn.Conv2d(64, 192, 5, padding=2), relu, pool),
            *(nn.Conv2d(192, 384, 3, padding=1), relu),
            *(nn.Conv2d(384, 256, 3, padding=1), relu),
            *(nn.Conv2d(256, 256, 3, padding=1), relu),
        )

    def forward(self, frames: Tensor) -> list[Tensor]:
        """Gives what comes out of each ReLU."""
        found = []
        for layer in self.features:
            frames = layer(frames)
            if isinstance(layer, nn.ReLU):
                found.append(frames)
        return found


def load_alexnet(path: str | Path, *, device: str = "cpu") -> Perceptual:
    """Gives LPIPS by AlexNet, the one that its authors recommend for comparing.

    Args:
        path: torchvision's weights of AlexNet, `alexnet-owt-7be5be79.pth`.
        device: Where it computes.

    Raises:
        ModelNotFound: There is no such file.
        InvalidModel: It holds other weights.
    """
    source = (
        "LPIPS needs torchvision's AlexNet: download alexnet-owt-7be5be79.pth from "
        "download.pytorch.org/models"
    )
    found = find_weights(path, source)
    network = _AlexNet()
    try:
        weights: Any = torch.load(found, map_location="cpu", weights_only=True)
        convolutions = {key: weights[key] for key in network.state_dict()}
        network.load_state_dict(convolutions)
    except Exception as error:  # whatever unpickling raises at a file that is something else
        reason = str(error).strip().split("\n")[0]
        raise InvalidModel(f"{found} holds no weights of AlexNet: {reason}") from error
    name = f"AlexNet ({found.name}), LPIPS 0.1"
    return Perceptual(network.to(device).eval(), _heads(), name=name, device=device)


def _heads() -> list[Float[Tensor, " _"]]:
    """How much each of AlexNet's channels counts, as the authors of LPIPS found."""
    weights = load((files("chronosim.metrics") / "lpips" / "alexnet.safetensors").read_bytes())
    return [weights[name] for name in sorted(weights)]


def _unit(features: Tensor) -> Tensor:
    """Features of length 1 at each place."""
    return features / (features.square().sum(1, keepdim=True).sqrt() + 1e-10)


Features = Callable[[UInt8[Tensor, "batch 3 *time height width"]], Float[Tensor, "batch features"]]
"""From frames, or clips with time, to one vector each: any callable, such as an `nn.Module`."""


class ScriptedNetwork:
    """A network in TorchScript: the form in which the ones of FID and FVD are passed around.

    Args:
        path: Its file.
        source: Where that can be had, for the sentence that says it is missing.
        options: What the network's forward is told besides the frames.
        device: Where it computes.

    Raises:
        ModelNotFound: There is no such file.
        InvalidModel: It is no TorchScript.
    """

    def __init__(
        self, path: str | Path, *, source: str, device: str = "cpu", **options: Any
    ) -> None:
        self.path = find_weights(path, source)
        self.options = options
        self.device = torch.device(device)
        jit: Any = torch.jit  # untyped
        try:
            with warnings.catch_warnings():
                # PyTorch would have everyone move on to torch.export; these networks have not.
                warnings.simplefilter("ignore", DeprecationWarning)
                self._network = jit.load(str(self.path), map_location=self.device).eval()
        except RuntimeError as error:
            reason = str(error).strip().split("\n")[0]
            raise InvalidModel(f"{self.path} is no network in TorchScript: {reason}") from error

    def __call__(
        self, frames: UInt8[Tensor, "batch 3 *time height width"]
    ) -> Float[Tensor, "batch features"]:
        """Gives the features of frames or clips.

        Raises:
            InvalidModel: The network does not take them, or gives something else.
        """
        try:
            with torch.inference_mode():
                features = self._network(frames.to(self.device), **self.options)
        except RuntimeError as error:
            reason = str(error).strip().split("\n")[-1]
            raise InvalidModel(
                f"the network in {self.path} does not take frames of shape {tuple(frames.shape)} "
                f"with {self.options}: {reason}"
            ) from error
        if not isinstance(features, Tensor) or features.ndim != 2:
            shape = tuple(features.shape) if isinstance(features, Tensor) else type(features)
            raise InvalidModel(
                f"the network in {self.path} must give one vector a frame or clip, not {shape}"
            )
        return features.float().cpu()


def find_weights(path: str | Path, source: str) -> Path:
    """Gives the file of weights at a path.

    Args:
        path: Where to look; `~` is the home.
        source: What to download from where, for the sentence that says it is missing.

    Raises:
        ModelNotFound: There is no such file.
    """
    found = user_path(path)
    if not found.is_file():
        raise ModelNotFound(f"there are no weights at {found}; {source}, and name the file's path")
    return found.resolve()
