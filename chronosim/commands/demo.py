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

from time import perf_counter

from omegaconf import DictConfig

from chronosim.cli.output import new_folder
from chronosim.cli.play import draw_filmstrip, draw_video, ending, make_world, play
from chronosim.envs.wrappers import RecordEpisodes
from chronosim.episodes import EpisodeReader
from chronosim.rollouts.run import logged_settings
from chronosim.settings.compose import make_part, whole_number, with_seed

__all__ = ["run"]


def run(config: DictConfig) -> None:
    """Runs the command.

    Raises:
        ChronosimError: A setting that cannot work.
    """
    horizon, least = whole_number(config, "horizon", 1), whole_number(config, "least", 1)
    seed, attempts = whole_number(config, "seed", 0), whole_number(config, "attempts", 1)
    began = perf_counter()
    world = make_world(config, horizon)
    folder = new_folder(config, "demo")
    dataset = folder / "episodes"
    played = []
    for attempt in range(seed, seed + attempts):
        made_by = {"config": logged_settings(with_seed(config, attempt))}
        env = RecordEpisodes(world, dataset, about=made_by)
        played.append(play(env, dataset, config, attempt, f"seed {attempt}"))
        if len(played[-1]) >= min(least, horizon) or _reached_its_goal(played[-1]):
            break
        print(f"With seed {attempt} the episode ended after {len(played[-1])} steps.")
    world.close()
    best = max(played, key=lambda reader: (_reached_its_goal(reader), len(reader)))
    filmstrip, video = folder / "filmstrip.png", folder / "episode.mp4"
    draw_filmstrip(best, filmstrip)
    pace = make_part(config, "prompter").seconds_per_step
    draw_video(best, video, seconds_per_step=pace, words=True)
    print(
        f"{best.about['model']['name']} imagined {best.steps} steps "
        f"({ending(best)}) in {perf_counter() - began:.0f} s.\n"
        f"  each step and its words   {filmstrip}\n"
        f"  the episode as a video    {video}\n"
        f"  every frame and number    {best.path}"
    )


def _reached_its_goal(reader: EpisodeReader) -> bool:
    """Whether an episode ended with the full reward: a short one that is worth showing."""
    last = reader.step(reader.steps - 1)
    return last.terminated and last.reward >= 1
