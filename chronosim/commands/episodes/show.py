"""Shows an episode: its steps as a table, and a filmstrip as a picture and in the terminal.

The picture has 48 frames at most, evenly spaced; frames= says another number. Of a data set it
shows all episodes on one sheet, a row each, unfinished ones too; one that is damaged is left out,
and named. In a terminal of 24-bit colours the frames are drawn as coloured blocks too.

Examples:
    chronosim episodes show runs/thousand/episodes/0000003
    chronosim episodes show runs/thousand
    chronosim episodes show path=datasets/carracing/0000007 lines=100 output=runs/seven
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap

import numpy as np

from chronosim.cli.output import dataset_at, new_folder, place
from chronosim.cli.play import draw_filmstrip
from chronosim.cli.summary import print_episodes
from chronosim.cli.terminal import bars, blocks, faint, has_all_colours, table
from chronosim.episodes import EpisodeReader, list_episodes
from chronosim.episodes.place import Place, is_episode
from chronosim.episodes.summary import EpisodeSummary, summarize
from chronosim.errors import EpisodeNotFound, InvalidEpisode
from chronosim.frames import write_frame
from chronosim.pictures.chart import Picture
from chronosim.pictures.panels import PAPER, Panel, filmstrip
from chronosim.settings.commands import EpisodesShow
from chronosim.types import Frame

_ACROSS, _ROWS = 7, 24  # frames in a row and episodes at most on the sheet of a data set
_IN_TERMINAL, _BLOCKS, _GAP = 5, 22, 2  # frames at most; characters across each, and between two
_WORDS, _NUMBERS = 32, 8  # of an action, in the table
_COLUMN, _INDENT = 40, 6  # characters: the narrowest column of words; where they are indented below
_HEAD = ("step", "action", "reward", "s", "frames", "end")


def run(settings: EpisodesShow) -> None:
    """Runs the command.

    Raises:
        ChronosimError: A setting that cannot work, or no episode there.
    """
    path = place(settings.path)
    if is_episode(path):
        reader = EpisodeReader(path)
        folder = new_folder(settings.composed, "show")
        print(_heading(reader))
        _print_frames(reader)
        print(_steps(reader, settings.lines))
        picture = folder / f"{reader.path.name}.png"
        drawn, there = draw_filmstrip(reader, picture, settings.frames), reader.steps + 1
        if drawn < there:
            print(faint(f"\n{drawn} of {there:,} frames are drawn; frames=null draws all"))
    elif path.parent.is_dir() and not path.is_dir():
        raise EpisodeNotFound(f"there is no episode at {path}")
    else:
        picture = _show_all(list_episodes(dataset_at(path), unfinished=True), settings)
    print(faint(f"\n{picture}"))


def _show_all(paths: Sequence[Place], settings: EpisodesShow) -> Path:
    """Shows those episodes of a data set that can be read, and names the others."""
    known: list[EpisodeSummary] = []
    rows: list[list[Panel]] = []
    damaged: list[str] = []
    for path in paths:
        try:
            reader = EpisodeReader(path)
            one = summarize(reader)
            if len(rows) < _ROWS:
                rows.append(_row(reader, one))
            known.append(one)
        except InvalidEpisode as error:
            damaged.append(str(error))
    if not rows:
        raise InvalidEpisode(f"none of {len(paths)} episodes can be read: {damaged[0]}")
    picture = new_folder(settings.composed, "show") / "episodes.png"
    print_episodes(known, settings.lines)
    for sentence in damaged:
        print(f"damaged: {sentence}")
    write_frame(picture, _sheet(rows))
    return picture


def _heading(reader: EpisodeReader) -> str:
    known = summarize(reader)
    made = " of ".join(name for name in (known.policy, known.world) if name)
    height, width = reader.frame_size
    clock = "" if known.fps is None else f", {known.fps:.3g} frames a second"
    return (
        f"{known.name}: {known.steps} steps, {known.end}; {made}; "
        f"frames of {height} x {width}{clock}\n"
        + (f"{reader.failure}\n" if reader.failure else "")
        + faint(
            f"return {known.total:.2f}  {bars(reader.column('reward') if reader.steps else [])}"
        )
    )


def _print_frames(reader: EpisodeReader) -> None:
    if has_all_colours():
        width = min(_BLOCKS, _screen())
        count = min(_IN_TERMINAL, (_screen() + _GAP) // (width + _GAP))
        print(f"\n{blocks(_some_frames(reader, count), width)}\n")


def _some_frames(reader: EpisodeReader, count: int) -> list[Frame]:
    """The first frame, the last, and some evenly between."""
    chosen = np.unique(np.linspace(0, reader.steps, count).round().astype(int))
    return [reader.observation(int(index)).frame for index in chosen]


def _steps(reader: EpisodeReader, lines: int) -> str:
    """The table of steps, every word of them; of the frames nothing is read."""
    names = ("action", "reward", "latency", "between_length", "terminated", "truncated", "text")
    columns = [reader.column(name) for name in names] if reader.steps else []
    rows: list[tuple[object, ...]] = [
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
    if len(rows) > lines:
        gap = (f"… {len(rows) - lines // 2 * 2} more", *[""] * len(_HEAD))
        rows = [*rows[: lines // 2], gap, *rows[-(lines // 2) :]]
    return _with_words(rows)


def _with_words(rows: Sequence[Sequence[object]]) -> str:
    """Sets rows in columns, their words last: in a column of many lines, or below where none fits.

    Args:
        rows: A cell for each name of the head, and the words.
    """
    numbers = table(_HEAD, [row[:-1] for row in rows]).splitlines()
    widest = max(len(re.sub(r"\x1b\[\dm", "", line)) for line in numbers)
    room = _screen() - widest - _GAP
    if room < _COLUMN:
        lines, edge = numbers[:1], " " * _INDENT
        for line, row in zip(numbers[1:], rows, strict=True):
            words = wrap(str(row[-1]), max(_COLUMN, _screen() - _INDENT))
            lines += [line, *(edge + part for part in words)]
        return "\n".join(lines)
    cells: list[Sequence[object]] = []
    for row in rows:
        first, *others = wrap(str(row[-1]), room) or [""]
        cells += [(*row[:-1], first), *((*[""] * len(_HEAD), words) for words in others)]
    return table((*_HEAD, "words"), cells)


def _screen() -> int:
    return shutil.get_terminal_size((160, 24)).columns


def _action(action: object) -> str:
    if isinstance(action, str):
        return action if len(action) <= _WORDS else f"{action[: _WORDS - 1]}…"
    return " ".join(
        f"{value:.2f}" for value in np.atleast_1d(np.asarray(action)).ravel()[:_NUMBERS]
    )


def _row(reader: EpisodeReader, known: EpisodeSummary) -> list[Panel]:
    """One row an episode: its first frame, some on the way, and how it ended."""
    title = f"{known.name} · {known.steps} steps · {known.end}"
    frames = _some_frames(reader, _ACROSS)
    return [Panel(frames[0], title), *map(Panel, frames[1:])]


def _sheet(rows: Sequence[Sequence[Panel]]) -> Picture:
    """The rows on one sheet, as wide as the longest of them."""
    across = max(map(len, rows))
    empty = Panel(np.full_like(rows[0][0].frame, PAPER))
    places = [panel for row in rows for panel in (*row, *[empty] * (across - len(row)))]
    return filmstrip(places, columns=across)
