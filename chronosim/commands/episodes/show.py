"""Shows an episode: its steps as a table, and a filmstrip as a picture and in the terminal.

Of a data set it shows all episodes on one sheet, a row each. In a terminal of 24-bit colours the
frames are drawn as coloured blocks too.

Examples:
    chronosim episodes show runs/thousand/episodes/0000003
    chronosim episodes show runs/thousand
    chronosim episodes show path=datasets/carracing/0000007 lines=100 output=runs/seven
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from omegaconf import DictConfig

from chronosim.commands.facts import facts
from chronosim.commands.finding import dataset_at, is_episode, place
from chronosim.commands.output import new_folder
from chronosim.commands.play import draw_filmstrip
from chronosim.commands.settings import whole_number
from chronosim.commands.summary import print_episodes
from chronosim.commands.terminal import bars, blocks, faint, has_all_colours, table
from chronosim.episodes import EpisodeReader, list_episodes
from chronosim.episodes.chart import Picture
from chronosim.episodes.filmstrip import Panel, filmstrip
from chronosim.episodes.lettering import PAPER
from chronosim.errors import EpisodeNotFound
from chronosim.frames import write_frame
from chronosim.types import Frame

__all__ = ["run"]

_ACROSS, _ROWS = 7, 24  # frames in a row and episodes at most on the sheet of a data set
_IN_TERMINAL = 5  # frames
_WORDS, _NUMBERS = 32, 8  # of an action, in the table


def run(config: DictConfig) -> None:
    """Runs the command.

    Raises:
        ChronosimError: A setting that cannot work, or no episode there.
    """
    path, lines = place(config.path), whole_number(config, "lines", 2)
    if is_episode(path):
        reader = EpisodeReader(path)
        folder = new_folder(config, "show")
        print(_heading(reader))
        _print_frames(reader)
        print(_steps(reader, lines))
        picture = folder / f"{reader.path.name}.png"
        draw_filmstrip(reader, picture)
    elif path.parent.is_dir() and not path.is_dir():
        raise EpisodeNotFound(f"there is no episode at {path}")
    else:
        readers = [EpisodeReader(episode) for episode in list_episodes(dataset_at(path))]
        folder = new_folder(config, "show")
        print_episodes([facts(reader) for reader in readers], lines)
        picture = folder / "episodes.png"
        write_frame(picture, _sheet(readers[:_ROWS]))
    print(faint(f"\n{picture}"))


def _heading(reader: EpisodeReader) -> str:
    known = facts(reader)
    made = " of ".join(name for name in (known.policy, known.world) if name)
    height, width = reader.observation(0).frame.shape[:2]
    clock = "" if known.fps is None else f", {known.fps:.3g} frames a second"
    return (
        f"{known.name}: {known.steps} steps, {known.end}; {made}; "
        f"frames of {height} x {width}{clock}\n"
        + faint(
            f"return {known.total:.2f}  {bars(reader.column('reward') if reader.steps else [])}"
        )
    )


def _print_frames(reader: EpisodeReader) -> None:
    if has_all_colours():
        print(f"\n{blocks(_some_frames(reader, _IN_TERMINAL))}\n")


def _some_frames(reader: EpisodeReader, count: int) -> list[Frame]:
    """The first frame, the last, and some evenly between."""
    chosen = np.unique(np.linspace(0, reader.steps, count).round().astype(int))
    return [reader.observation(int(index)).frame for index in chosen]


def _steps(reader: EpisodeReader, lines: int) -> str:
    """The table of steps; of the frames nothing is read."""
    head = ("step", "action", "reward", "s", "frames", "end", "words")
    names = ("action", "reward", "latency", "between_length", "terminated", "truncated", "text")
    columns = [reader.column(name) for name in names] if reader.steps else []
    rows = [
        (
            str(index),
            _action(action),
            float(reward),
            float(latency),
            int(between) + 1,
            "terminated" if terminated else "truncated" if truncated else "",
            str(text),
        )
        for index, (action, reward, latency, between, terminated, truncated, text) in enumerate(
            zip(*columns, strict=True)
        )
    ]
    return table(head, rows, most=lines)


def _action(action: object) -> str:
    if isinstance(action, str):
        return action if len(action) <= _WORDS else f"{action[: _WORDS - 1]}…"
    return " ".join(
        f"{value:.2f}" for value in np.atleast_1d(np.asarray(action)).ravel()[:_NUMBERS]
    )


def _sheet(readers: Sequence[EpisodeReader]) -> Picture:
    """One row an episode: its first frame, some on the way, and how it ended."""
    panels = []
    for reader in readers:
        known = facts(reader)
        frames = _some_frames(reader, _ACROSS)
        titles = [f"{known.name} · {known.steps} steps · {known.end}", *[""] * (_ACROSS - 1)]
        frames += [np.full_like(frames[0], PAPER)] * (_ACROSS - len(frames))
        panels += [Panel(*panel) for panel in zip(frames, titles, strict=True)]
    return filmstrip(panels, columns=_ACROSS)
