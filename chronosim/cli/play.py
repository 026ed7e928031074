"""One episode of a policy in the world model, and the pictures of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
from omegaconf import DictConfig
from tqdm import tqdm

from chronosim.cli.summary import ending
from chronosim.envs.chrono_env import ChronoEnv
from chronosim.envs.make import make_env
from chronosim.episodes import EpisodeReader, list_episodes
from chronosim.frames import write_frame
from chronosim.pictures.panels import filmstrip, step_panels
from chronosim.pictures.video import episode_frames, frame_rate, write_video
from chronosim.settings.compose import make_part, with_seed

__all__ = ["draw_filmstrip", "draw_video", "ending", "make_world", "play"]


def make_world(config: DictConfig, horizon: int) -> gym.Env[Any, Any]:
    """Makes the environment of the settings' model, prompter and scenario.

    Args:
        config: The command's settings.
        horizon: Steps after which an episode is cut.

    Raises:
        ChronosimError: A part cannot be made.
    """
    parts = {name: make_part(config, name) for name in ("model", "prompter", "scenario")}
    return make_env(**parts, horizon=horizon)


def play(
    env: gym.Env[Any, Any], dataset: Path, config: DictConfig, seed: int, label: str
) -> EpisodeReader:
    """Plays one episode under the settings' policy, made anew with this episode's seed.

    Args:
        env: An environment that records its episodes in `dataset`.
        dataset: The folder of the episodes.
        config: The command's settings.
        seed: Of the episode.
        label: What the progress bar says.

    Returns:
        The episode, as logged.

    Raises:
        ChronosimError: As the environment's `reset` and `step`.
    """
    policy = make_part(with_seed(config, seed), "policy")
    env.reset(seed=seed)
    world, ended = env.unwrapped, False
    assert isinstance(world, ChronoEnv)
    with tqdm(total=int(config.horizon), desc=label, unit="step", leave=False) as progress:
        while not ended:
            _, _, terminated, truncated, _ = env.step(policy(world.observation))
            ended = terminated or truncated
            progress.update()
    return EpisodeReader(list_episodes(dataset)[-1])


def draw_filmstrip(reader: EpisodeReader, path: Path) -> None:
    """Writes the sheet of an episode: each step's frame with the action's words under it."""
    write_frame(path, filmstrip(step_panels(reader.observation(0), reader)))


def draw_video(
    reader: EpisodeReader, path: Path, *, seconds_per_step: float | None, words: bool
) -> None:
    """Writes the video of an episode, as fast as the world it shows.

    Args:
        reader: The episode.
        path: Where to; ends in .mp4.
        seconds_per_step: How long an action is held; None where the model has no clock.
        words: Whether the video carries the words in a bar below.

    Raises:
        EpisodeWriteError: The disk refuses.
    """
    rate = frame_rate(seconds_per_step, len(reader.trajectory(0)))
    write_video(episode_frames(reader.observation(0), reader, words=words), path, rate)
