"""Rolls a policy out in the world model, and keeps every step.

Each episode is logged to Zarr while it happens, then drawn as a filmstrip (each step's frame with
the action's words under it) and as a video (the trajectories end to end). The same seed gives the
same episodes.

Examples:
    chronosim rollout scenario=carracing episodes=4 policy=random
    chronosim rollout policy=lane-follower policy.target_speed=25 horizon=60 words=true
    chronosim rollout policy=straight model=echo episodes=1 output=runs/baseline
"""

from __future__ import annotations

import numpy as np
from omegaconf import DictConfig

from chronosim.commands.output import new_folder
from chronosim.commands.play import draw_filmstrip, draw_video, ending, make_world, play
from chronosim.commands.settings import make_part, whole_number
from chronosim.envs.record_episodes import RecordEpisodes
from chronosim.episodes import EpisodeReader

__all__ = ["run"]


def run(config: DictConfig) -> None:
    """Runs the command.

    Raises:
        ChronosimError: A setting that cannot work, or an episode that failed.
    """
    episodes, horizon = whole_number(config, "episodes", 1), whole_number(config, "horizon", 1)
    seed, pace = whole_number(config, "seed", 0), make_part(config, "prompter").seconds_per_step
    world = make_world(config, horizon)
    folder = new_folder(config, "rollout")
    dataset = folder / "episodes"
    env = RecordEpisodes(world, dataset)
    print(f"{'episode':<12}{'seed':>6}{'steps':>7}{'reward':>9}{'s/step':>8}  end")
    for index in range(episodes):
        reader = play(env, dataset, config, seed + index, f"episode {index + 1} of {episodes}")
        name = reader.path.name
        draw_filmstrip(reader, folder / f"{name}.png")
        draw_video(reader, folder / f"{name}.mp4", seconds_per_step=pace, words=bool(config.words))
        print(f"{name:<12}{seed + index:>6}{_figures(reader)}")
    env.close()
    print(f"\nThe episodes (Zarr), filmstrips (PNG) and videos (MP4) are in {folder}")


def _figures(reader: EpisodeReader) -> str:
    reward, latency = reader.column("reward").sum(), np.nanmean(reader.column("latency"))
    return f"{reader.steps:>7}{reward:>9.2f}{latency:>8.2f}  {ending(reader)}"
