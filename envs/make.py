"""Makes environments from names or objects: the entry points that Gymnasium's registry knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chronosim.envs.chrono_env import ChronoEnv
from chronosim.envs.guard import load_guard
from chronosim.envs.vector_env import ChronoVectorEnv
from chronosim.errors import InvalidConfig
from chronosim.models.named import load_model
from chronosim.protocols import Prompter, Scenario, WorldModel
from chronosim.settings import parts as config
from chronosim.types import Guard

__all__ = ["load_model", "make_env", "make_vector_env"]


def make_env(
    model: str | Path | WorldModel = "nano",
    prompter: str | Prompter | None = None,
    scenario: str | Scenario = "carracing",
    *,
    horizon: int | None = 100,
    frame_size: tuple[int, int] | None = None,
    render_mode: str | None = None,
    guard: str | Path | Guard | None = None,
    **settings: Any,
) -> ChronoEnv:
    """Makes an environment.

    Args:
        model: A world model; or a name in `scenarios/conf/model`, a local folder in diffusers'
            format, or a hub id (owner/name).
        prompter: A prompter, or a name in `scenarios/conf/prompter`; None: the one that goes with
            a scenario that is named.
        scenario: A scenario, or a name in `scenarios/conf/scenario`.
        horizon: Steps after which an episode is truncated; None for endless.
        frame_size: (height, width) that first frames are fitted to; None takes them as they are.
        render_mode: `"rgb_array"` or None.
        guard: Truncates an episode whose frame has left the world: a guard; or the name of one that
            comes with chronosim, or the file of one; None lets every frame pass.
        **settings: Of the model, where it is named: `device="cuda"`, `denoising_steps=4` ...

    Raises:
        InvalidConfig: A name or setting is unknown, or settings come with a model that is made.
        ModelNotFound: The model's weights, or one of their files, are missing.
        InvalidModel: Its files cannot work together.
    """
    return ChronoEnv(
        load_model(model, **settings),
        _prompter(prompter, scenario),
        config.load("scenario", scenario) if isinstance(scenario, str) else scenario,
        horizon=horizon,
        frame_size=frame_size,
        render_mode=render_mode,
        guard=load_guard(guard) if isinstance(guard, str | Path) else guard,
    )


def make_vector_env(
    num_envs: int = 1,
    model: str | Path | WorldModel = "nano",
    prompter: str | Prompter | None = None,
    scenario: str | Scenario = "carracing",
    *,
    horizon: int | None = 100,
    max_episode_steps: int | None = None,
    frame_size: tuple[int, int] | None = None,
    render_mode: str | None = None,
    guard: str | Path | Guard | None = None,
    **settings: Any,
) -> ChronoVectorEnv:
    """Makes a vector environment.

    Args:
        num_envs: How many rows.
        model: As for `make_env`.
        prompter: As for `make_env`.
        scenario: As for `make_env`.
        horizon: Steps after which a row's episode is truncated; None for endless.
        max_episode_steps: Gymnasium's word for the horizon; the smaller of the two counts.
        frame_size: As for `make_env`.
        render_mode: `"rgb_array"` or None.
        guard: As for `make_env`.
        **settings: As for `make_env`.

    Raises:
        ChronosimError: As `make_env`.
    """
    limits = [limit for limit in (horizon, max_episode_steps) if limit is not None]
    return ChronoVectorEnv(
        load_model(model, **settings),
        _prompter(prompter, scenario),
        config.load("scenario", scenario) if isinstance(scenario, str) else scenario,
        num_envs=num_envs,
        horizon=min(limits, default=None),
        frame_size=frame_size,
        render_mode=render_mode,
        guard=load_guard(guard) if isinstance(guard, str | Path) else guard,
    )


def _prompter(prompter: str | Prompter | None, scenario: str | Scenario) -> Prompter:
    if prompter is None and isinstance(scenario, str):
        prompter = config.companion("scenario", scenario, "prompter")
    if prompter is None:
        raise InvalidConfig(
            f"no prompter comes with the scenario {scenario!r}: pass prompter=, "
            f"one of {', '.join(config.names('prompter'))} or your own"
        )
    made: Prompter = config.load("prompter", prompter) if isinstance(prompter, str) else prompter
    return made
