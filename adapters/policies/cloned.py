"""Policies that learned from recorded frames what somebody did there: behaviour cloning."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch
from jaxtyping import Float32, UInt8
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from chronosim.errors import InvalidConfig, ModelNotFound
from chronosim.policies.acting import RowByRow
from chronosim.policies.regression import FrameRegressor, fit
from chronosim.types import Observation


class Cloned(RowByRow):
    """A small network that acts as somebody did whom it learned from, from frame and state alone.

    Args:
        path: Its weights, as `clone` writes them: a .safetensors file.

    Raises:
        ModelNotFound: There is no such file.
        InvalidConfig: It is no clone's.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        if not self._path.is_file():
            raise ModelNotFound(f"there is no cloned policy at {path}: clone writes one")
        try:
            with safe_open(self._path, "pt") as file:
                self._sizes = json.loads(file.metadata()["chronosim_clone"])
                weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise InvalidConfig(f"{path} holds no cloned policy: {error}") from error
        self._scales = {name: weights.pop(name).numpy() for name in _SCALES}
        self._network = FrameRegressor(**self._sizes)
        self._network.load_state_dict(weights)
        self._network.eval()

    def __repr__(self) -> str:
        """Names the file and the network's width."""
        return f"Cloned({self._path.name!r}, width={self._sizes['width']})"

    def for_episode(self, seed: int) -> Cloned:
        """Gives itself: it draws and remembers nothing."""
        return self

    @torch.no_grad()
    def __call__(self, observation: Observation) -> Float32[np.ndarray, " action"]:
        """Chooses an action: float32 (n,), within the bounds that were learned with."""
        scales = self._scales
        state = (observation.state - scales["state_mean"]) / scales["state_spread"]
        told = self._network(
            torch.from_numpy(np.ascontiguousarray(observation.frame)[None]),
            torch.from_numpy(state[None].astype(np.float32)),
        )
        action = told[0].numpy() * scales["action_spread"] + scales["action_mean"]
        return np.clip(action, scales["low"], scales["high"]).astype(np.float32)


_SCALES = ("state_mean", "state_spread", "action_mean", "action_spread", "low", "high")


def clone(
    path: Path,
    frames: UInt8[np.ndarray, "n height width 3"],
    states: Float32[np.ndarray, "n state"],
    actions: Float32[np.ndarray, "n action"],
    *,
    space: gym.Space[np.ndarray],
    width: int = 16,
    epochs: int = 10,
    seed: int = 0,
    progress: Callable[[], object] | None = None,
) -> None:
    """Learns a policy from what was seen and done, and writes its weights.

    Args:
        path: The .safetensors file to write.
        frames: What was seen.
        states: The commanded states then.
        actions: What was done, or what a teacher would have done.
        space: The actions that there are: a Box.
        width: Channels of the network's first layer.
        epochs: Passes over the data.
        seed: Of the first weights and the order of the data.
        progress: Called after each pass.

    Raises:
        InvalidConfig: The actions are no numbers.
    """
    if not isinstance(space, gym.spaces.Box):
        raise InvalidConfig(f"only actions that are numbers can be cloned, not {space}")
    scales = {
        "state_mean": states.mean(axis=0),
        "state_spread": states.std(axis=0) + np.float32(1e-6),
        "action_mean": actions.mean(axis=0),
        "action_spread": actions.std(axis=0) + np.float32(1e-3),
        "low": space.low,
        "high": space.high,
    }
    sizes = {
        "channels": 3,
        "vector": states.shape[1],
        "outputs": actions.shape[1],
        "width": width,
        "seed": seed,
    }
    network = FrameRegressor(**sizes)
    vectors = ((states - scales["state_mean"]) / scales["state_spread"]).astype(np.float32)
    targets = ((actions - scales["action_mean"]) / scales["action_spread"]).astype(np.float32)
    fit(network, frames, vectors, targets, epochs=epochs, seed=seed, progress=progress)
    kept = {name: torch.from_numpy(scales[name].astype(np.float32)) for name in _SCALES}
    weights = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}")  # a run may be killed here too
    save_file({**weights, **kept}, draft, {"chronosim_clone": json.dumps(sizes)})
    draft.replace(path)
