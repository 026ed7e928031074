"""Networks that others trained, from files: what a learned metric looks at frames with."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from chronosim.errors import InvalidModel, ModelNotFound

__all__ = ["Features", "ScriptedNetwork", "find_weights"]

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
    found = Path(path).expanduser()
    if not found.is_file():
        raise ModelNotFound(f"there are no weights at {found}; {source}, and name the file's path")
    return found.resolve()
