"""Forks a running environment: two futures from one state."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import gymnasium as gym

from chronosim.errors import InvalidConfig

_Env = TypeVar("_Env", bound=gym.Env[Any, Any] | gym.vector.VectorEnv[Any, Any, Any])


def fork(env: _Env, seed: int | None = None) -> _Env:
    """Copies a chronosim environment in the middle of an episode, with all its wrappers.

    The copy shares the world model, the prompter, the scenario and the guard, and has its own of
    everything else: the observation, the random numbers, the wrappers' counters.

    Args:
        env: The environment, wrapped or not.
        seed: None goes on with the same noise: under the same actions both copies live the same
            future. A seed gives the copy new noise.

    Returns:
        The copy.

    Raises:
        InvalidConfig: Beneath the wrappers is no chronosim environment.
        ResetNeeded: `env` has not been reset.
    """
    base: Any = env.unwrapped
    if not hasattr(base, "world"):
        raise InvalidConfig(f"only a chronosim environment can be forked, not {base}")
    rows = getattr(base, "rows", [base])
    for row in rows:
        _ = row.observation  # raises ResetNeeded
    # Gymnasium's specs may hold the model as an argument: they are shared as well.
    layers = [*_layers(env), *rows]
    shared = [base.spec, *(getattr(layer, "_cached_spec", None) for layer in layers)]
    for row in rows:
        shared += [row.world, row.last_step]
    for layer in layers:  # of a large frame the bounds alone are some megabytes
        for value in vars(layer).values():
            shared += _bounds(value)
    copied = copy.deepcopy(env, {id(thing): thing for thing in shared})
    if seed is not None:
        copied.unwrapped.reseed(seed)  # type: ignore[union-attr]
    return copied


def _layers(env: Any) -> list[Any]:
    """The wrappers from the outside in, and the environment in the middle."""
    layers = [env]
    while layers[-1] is not env.unwrapped:
        layers.append(layers[-1].env)
    return layers


def _bounds(value: Any) -> list[Any]:
    """The arrays in which a space keeps its bounds, which nobody writes to."""
    if isinstance(value, gym.spaces.Dict):
        return [array for space in value.values() for array in _bounds(space)]
    if isinstance(value, gym.spaces.Box):
        return [value.low, value.high, value.bounded_below, value.bounded_above]
    return []
