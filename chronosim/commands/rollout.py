"""Rolls a policy out in the world model, by the thousand if need be, and keeps every step.

Each episode is logged to Zarr while it happens, named by its seed and the same whatever runs beside
it. The first few are drawn as filmstrips and videos, all of them together as a table and a picture.
Broken off, the same command with the same output= goes on where it stopped; several may share an
output=. An episode that fails does not end the others; the exit status is 1 then.
A policy of your own: policy=own policy._target_=my_package.MyPolicy, looked for in the working
directory too (see scenarios/conf/policy/own.yaml).

Examples:
    chronosim rollout scenario=carracing episodes=4 policy=random
    chronosim rollout episodes=1000 workers=8 policy=lane-follower output=runs/thousand
    chronosim rollout policy=straight model=echo episodes=1 words=true output=runs/baseline
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from omegaconf import OmegaConf

from chronosim.cli.output import join_folder, output_path, same_settings, unused_folder
from chronosim.cli.play import (
    draw_filmstrip,
    draw_video,
    episode_bar,
    logged_settings,
    make_policy,
)
from chronosim.cli.summary import draw_summary, print_episodes, write_summary
from chronosim.envs import load_guard
from chronosim.episodes import EpisodeReader
from chronosim.episodes.summary import summarize
from chronosim.rollouts import Rollouts
from chronosim.rollouts import run as roll_out
from chronosim.settings.commands import Rollout
from chronosim.world import World

_MAY_DIFFER = ("episodes", "num_envs", "output", "pictures", "seed", "words", "workers")
_LISTED = 24  # episodes in the printed table


def run(settings: Rollout) -> int:
    """Runs the command.

    Returns:
        0; 1 where an episode failed.

    Raises:
        ChronosimError: A setting that cannot work.
    """
    if settings.output is not None:
        output_path(settings.composed)  # before a large model is loaded
    policy, world = make_policy(settings.policy), _world(settings)
    folder = _folder(settings)
    join_folder(settings.composed, folder, _MAY_DIFFER)
    with episode_bar() as progress:
        done = roll_out(
            world,
            policy,
            folder / "episodes",
            seeds=range(settings.seed, settings.seed + settings.episodes),
            num_envs=min(settings.num_envs, settings.episodes),
            trajectories=settings.trajectories,
            clip_actions=settings.clip_actions,
            workers=settings.workers,
            about=partial(logged_settings, OmegaConf.to_yaml(settings.composed)),
            progress=progress,
        )
    _tell(done)
    for path in done.episodes[: settings.pictures]:
        _draw(EpisodeReader(path), folder, world.prompter.seconds_per_step, words=settings.words)
    if done.episodes:
        _sum_up(done.episodes, folder)
    pace = f"{done.steps / done.seconds:.1f} a second. "
    rate = f"{done.steps:,} steps in {done.seconds:.0f} s, {pace}" if done.steps else ""
    print(f"\n{rate}Episodes (Zarr), filmstrips (PNG), videos (MP4) and summary are in {folder}")
    return int(bool(done.failures))


def _world(settings: Rollout) -> World:
    # The model last: what is missing elsewhere is said before a large one is loaded.
    scenario, prompter = settings.scenario.make(), settings.prompter.make()
    guard = None if settings.guard is None else load_guard(settings.guard)
    return World(settings.model.make(), prompter, scenario, horizon=settings.horizon, guard=guard)


def _folder(settings: Rollout) -> Path:
    """The folder for the results: a new one, or that of the same run broken off."""
    if settings.output is None:
        return unused_folder("rollout")
    folder = output_path(settings.composed)
    same_settings(settings.composed, folder, _MAY_DIFFER)
    return folder


def _tell(done: Rollouts) -> None:
    if done.there:
        print(f"{len(done.there)} of the {len(done.seeds)} episodes are there already")
    for sentence in done.lost.values():
        print(sentence)
    for seed, sentence in done.failures.items():
        print(f"the episode of seed {seed} failed: {sentence}")


def _draw(reader: EpisodeReader, folder: Path, pace: float | None, *, words: bool) -> None:
    filmstrip, video = (folder / f"{reader.path.name}{ending}" for ending in (".png", ".mp4"))
    if not filmstrip.exists():
        draw_filmstrip(reader, filmstrip)
    if not video.exists():
        draw_video(reader, video, seconds_per_step=pace, words=words)


def _sum_up(paths: list[Path], folder: Path) -> None:
    rows = [summarize(EpisodeReader(path)) for path in paths]
    print_episodes(rows, _LISTED)
    write_summary(rows, folder / "summary.json")
    title = f"{len(rows)} episodes of {rows[0].policy} in {rows[0].world}"
    draw_summary(rows, paths, [title], folder / "summary.png")
