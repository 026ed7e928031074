"""Shows a world model answering actions: one episode, from the CPU, with nothing to download.

A scripted policy sees only the frames that chronosim-nano imagines, acts by them, and nano imagines
what comes of it: there is no simulator behind it. The episode is logged to Zarr and drawn as a
filmstrip and a video. nano knows two worlds, a car on a road and a block to push about.

Examples:
    chronosim demo
    chronosim demo scenario=pusht
    chronosim demo seed=7 horizon=40 policy.target_speed=30 output=runs/fast
"""

from __future__ import annotations

from functools import partial
from time import perf_counter

from omegaconf import OmegaConf

from chronosim.cli.output import new_folder
from chronosim.cli.play import (
    draw_filmstrip,
    draw_video,
    episode_bar,
    logged_settings,
    make_policy,
)
from chronosim.episodes import EpisodeReader
from chronosim.episodes.summary import ending
from chronosim.errors import InvalidConfig
from chronosim.rollouts import run as roll_out
from chronosim.settings.commands import Demo
from chronosim.world import World


def run(settings: Demo) -> None:
    """Runs the command.

    Raises:
        ChronosimError: A setting that cannot work.
    """
    began = perf_counter()
    policy, scenario = make_policy(settings.policy), settings.scenario.make()
    prompter = settings.prompter.make()
    world = World(settings.model.make(), prompter, scenario, horizon=settings.horizon)
    folder = new_folder(settings.composed, "demo")
    about = partial(logged_settings, OmegaConf.to_yaml(settings.composed))
    played: list[EpisodeReader] = []
    for seed in range(settings.seed, settings.seed + settings.attempts):
        with episode_bar(f"seed {seed}") as progress:
            done = roll_out(
                world, policy, folder / "episodes", seeds=[seed], about=about, progress=progress
            )
        for sentence in done.failures.values():
            print(f"With seed {seed} the episode failed: {sentence}")
        played += map(EpisodeReader, done.episodes)
        if done.episodes and _is_worth_showing(played[-1], min(settings.least, settings.horizon)):
            break
        if done.episodes:
            print(f"With seed {seed} the episode ended after {len(played[-1])} steps.")
    if not played:
        raise InvalidConfig(f"none of {settings.attempts} episodes could be played")
    best = max(played, key=lambda reader: (_reached_its_goal(reader), len(reader)))
    filmstrip, video = folder / "filmstrip.png", folder / "episode.mp4"
    draw_filmstrip(best, filmstrip)
    draw_video(best, video, seconds_per_step=prompter.seconds_per_step, words=True)
    print(
        f"{best.about['model']['name']} imagined {best.steps} steps "
        f"({ending(best)}) in {perf_counter() - began:.0f} s.\n"
        f"  each step and its words   {filmstrip}\n"
        f"  the episode as a video    {video}\n"
        f"  every frame and number    {best.path}"
    )


def _is_worth_showing(reader: EpisodeReader, least: int) -> bool:
    return len(reader) >= least or _reached_its_goal(reader)


def _reached_its_goal(reader: EpisodeReader) -> bool:
    """Whether an episode ended with the full reward: a short one that is worth showing."""
    last = reader.step(reader.steps - 1)
    return last.terminated and last.reward >= 1
