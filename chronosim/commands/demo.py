"""Shows a world model answering actions: one drive, from the CPU, with nothing to download.

A scripted driver sees only the frames that chronosim-nano imagines, steers by them, and nano
imagines what comes of it: there is no simulator behind it. The drive is logged to Zarr and drawn as
a filmstrip and a video.

Examples:
    chronosim demo
    chronosim demo seed=7 horizon=40
    chronosim demo policy.target_speed=30 output=runs/fast
"""

from __future__ import annotations

from time import perf_counter

from omegaconf import DictConfig

from chronosim.commands.output import new_folder
from chronosim.commands.play import draw_filmstrip, draw_video, ending, make_world, play
from chronosim.commands.settings import make_part, whole_number
from chronosim.envs.record_episodes import RecordEpisodes

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
    env = RecordEpisodes(world, dataset)
    drives = []
    for attempt in range(attempts):
        drives.append(play(env, dataset, config, seed + attempt, f"seed {seed + attempt}"))
        if drives[-1].steps >= min(least, horizon):
            break
        print(f"With seed {seed + attempt} the drive ended after {drives[-1].steps} steps.")
    env.close()
    best = max(drives, key=len)
    filmstrip, video = folder / "filmstrip.png", folder / "episode.mp4"
    draw_filmstrip(best, filmstrip)
    pace = make_part(config, "prompter").seconds_per_step
    draw_video(best, video, seconds_per_step=pace, words=True)
    print(
        f"{best.about['model']['name']} imagined {best.steps} steps of a drive "
        f"({ending(best)}) in {perf_counter() - began:.0f} s.\n"
        f"  each step and its words   {filmstrip}\n"
        f"  the drive as a video      {video}\n"
        f"  every frame and number    {best.path}"
    )
