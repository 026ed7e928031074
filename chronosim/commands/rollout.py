"""Rolls a policy out in the world model, by the thousand if need be, and keeps every step.

Each episode is logged to Zarr while it happens, named by its seed and the same whatever runs beside
it. The first few are drawn as filmstrips and videos, all of them together as a table and a picture.
Broken off, the same command with the same output= goes on where it stopped. A policy of your own:
policy=own policy._target_=my_package.MyPolicy (see scenarios/conf/policy/own.yaml).

Examples:
    chronosim rollout scenario=carracing episodes=4 policy=random
    chronosim rollout episodes=1000 num_envs=8 policy=lane-follower output=runs/thousand
    chronosim rollout policy=straight model=echo episodes=1 words=true output=runs/baseline
"""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

from omegaconf import DictConfig

from chronosim.cli.output import (
    join_folder,
    output_path,
    same_settings,
    unused_folder,
)
from chronosim.cli.play import draw_filmstrip, draw_video
from chronosim.cli.summary import draw_summary, facts, print_episodes, write_summary
from chronosim.envs.record_vector import RecordRows
from chronosim.episodes import EpisodeReader
from chronosim.episodes.writer import check_trajectories
from chronosim.rollouts.run import episode_name, make_rows, roll, seeds_to_make
from chronosim.settings.compose import whole_number

__all__ = ["run"]

_MAY_DIFFER = ("episodes", "num_envs", "output", "pictures", "seed", "words")
_LISTED = 24  # episodes in the printed table


def run(config: DictConfig) -> None:
    """Runs the command.

    Raises:
        ChronosimError: A setting that cannot work, or an episode that failed.
    """
    if config.output is not None:
        output_path(config)  # before a large model is loaded
    trajectories = check_trajectories(config.trajectories)
    first, count = whole_number(config, "seed", 0), whole_number(config, "episodes", 1)
    rows, pictures = whole_number(config, "num_envs", 1), whole_number(config, "pictures", 0)
    env = make_rows(config, min(rows, count), whole_number(config, "horizon", 1))
    folder, seeds = _folder(config), range(first, first + count)
    dataset = folder / "episodes"
    join_folder(config, folder, _MAY_DIFFER)
    waiting = seeds_to_make(dataset, seeds)
    if len(waiting) < count:
        print(f"{count - len(waiting)} of the {count} episodes are there already")
    began = perf_counter()
    steps = roll(RecordRows(env, dataset, trajectories=trajectories), config, waiting)
    seconds = perf_counter() - began
    paths = [dataset / episode_name(seed) for seed in seeds]
    pace = env.world.prompter.seconds_per_step
    for path in paths[:pictures]:
        _draw(EpisodeReader(path), folder, pace, words=bool(config.words))
    _sum_up(paths, folder)
    rate = f"{steps:,} steps in {seconds:.0f} s, {steps / seconds:.1f} a second. " if steps else ""
    print(f"\n{rate}Episodes (Zarr), filmstrips (PNG), videos (MP4) and summary are in {folder}")


def _folder(config: DictConfig) -> Path:
    """The folder for the results: a new one, or that of the same run broken off."""
    if config.output is None:
        return unused_folder("rollout")
    same_settings(config, output_path(config), _MAY_DIFFER)
    return output_path(config)


def _draw(reader: EpisodeReader, folder: Path, pace: float | None, *, words: bool) -> None:
    filmstrip, video = (folder / f"{reader.path.name}{ending}" for ending in (".png", ".mp4"))
    if not filmstrip.exists():
        draw_filmstrip(reader, filmstrip)
    if not video.exists():
        draw_video(reader, video, seconds_per_step=pace, words=words)


def _sum_up(paths: list[Path], folder: Path) -> None:
    rows = [facts(EpisodeReader(path)) for path in paths]
    print_episodes(rows, _LISTED)
    write_summary(rows, folder / "summary.json")
    title = f"{len(rows)} episodes of {rows[0].policy} in {rows[0].world}"
    draw_summary(rows, paths, [title], folder / "summary.png")
