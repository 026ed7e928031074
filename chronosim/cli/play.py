"""What commands that roll out share: the policy, what is logged of the settings, pictures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from chronosim.episodes import EpisodeReader
from chronosim.frames import write_frame
from chronosim.pictures.panels import filmstrip, step_panels
from chronosim.pictures.video import episode_frames, frame_rate, write_video
from chronosim.policies import PerEpisode, as_policy
from chronosim.protocols import Policy
from chronosim.rollouts import Progress
from chronosim.settings.parts import with_seed
from chronosim.settings.typed import Part, plain

MOST_FRAMES = 48
"""Frames on an episode's sheet, unless it is told otherwise: as many as fit a page."""

# What shapes an episode.
_LOGGED = ("model", "prompter", "scenario", "policy", "horizon", "guard", "seed")


def make_policy(part: Part) -> Policy:
    """Makes the policy of a command's settings, once for all its episodes.

    What is no `Policy` of itself and says `seed: ${seed}` is made anew for each episode.

    Raises:
        ChronosimError: It cannot be made.
    """
    made = part.make()
    if isinstance(made, Policy) or "${seed}" not in OmegaConf.to_yaml(part.composed[part.name]):
        return as_policy(made)
    seeded = partial(_make_seeded, OmegaConf.to_yaml(part.composed), part.name)
    return PerEpisode(seeded, type(made).__qualname__)


def _make_seeded(text: str, name: str, seed: int) -> Any:
    return Part(name, DictConfig(OmegaConf.create(text))).seeded(seed).make()


def logged_settings(text: str, seed: int) -> dict[str, Any]:
    """Gives those settings that an episode follows from, for its log and for running it again.

    Args:
        text: A command's settings as YAML, so that processes can be told.
        seed: Of the episode.
    """
    settings = plain(with_seed(DictConfig(OmegaConf.create(text)), seed))
    return {"config": {name: settings[name] for name in _LOGGED if name in settings}}


@contextmanager
def episode_bar(label: str | None = None) -> Iterator[Any]:
    """A progress bar; what it gives is a callback for rollouts."""
    with tqdm(desc=label, unit="episode", disable=None) as bar:

        def show(progress: Progress) -> None:
            bar.total = progress.total
            bar.n = progress.done
            bar.set_postfix_str(f"{progress.steps / progress.seconds:.1f} steps/s", refresh=False)
            bar.update(0)

        yield show


def draw_filmstrip(reader: EpisodeReader, path: Path, most: int | None = MOST_FRAMES) -> int:
    """Writes the sheet of an episode: a step's frame with the action's words under it.

    Args:
        reader: The episode.
        path: Where to; ends in .png.
        most: Frames at most, evenly spaced, the first and the last among them; None: all.

    Returns:
        How many frames are on the sheet.
    """
    count = reader.steps + 1 if most is None else min(most, reader.steps + 1)
    _, *chosen = np.linspace(0, reader.steps, count).round().astype(int).tolist()
    steps = (reader.step(index - 1) for index in chosen)
    write_frame(path, filmstrip(step_panels(reader.observation(0), steps)))
    return count


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
