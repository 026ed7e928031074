"""Several episodes side by side in one film, on one clock, each under its name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from PIL import Image

from chronosim.episodes.chart import Picture
from chronosim.episodes.lettering import Colour, line_height, text_block, wrap
from chronosim.episodes.step import Step
from chronosim.errors import InvalidEpisode
from chronosim.types import Frame, Observation

__all__ = ["Track", "montage"]

_INK, _FAINT, _PAPER = (235, 236, 240), (150, 154, 164), (28, 30, 36)
_TYPE, _LINES, _EDGE, _GAP = 15, 3, 10, 6  # pixels; lines of words


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One episode of a film.

    Attributes:
        first: The observation it began with.
        steps: Its steps; read once, as the film goes on.
        rate: Frames a second of its trajectories, > 0.
        name: What stands over it.
    """

    first: Observation
    steps: Iterable[Step]
    rate: Fraction
    name: str


def montage(
    tracks: Sequence[Track],
    rate: Fraction,
    *,
    columns: int | None = None,
    height: int = 384,
    words: bool = True,
) -> Iterator[Frame]:
    """Gives the frames of a film of several episodes; those that end early stay, greyed out.

    Args:
        tracks: At least one. In memory are only their present frames.
        rate: Frames a second of the film.
        columns: Episodes in a row; None: as square as can be.
        height: Of each episode's frames in the film, pixels.
        words: Whether the words of the action stand below each episode.

    Yields:
        RGB uint8, all of one size.

    Raises:
        InvalidEpisode: No episode, or no column.
    """
    if not tracks or (columns is not None and columns < 1):
        raise InvalidEpisode(
            f"a film needs at least one episode and one column, not {len(tracks)} and {columns}"
        )
    across = min(columns or int(np.ceil(np.sqrt(len(tracks)))), len(tracks))
    players = [_Player(track, height) for track in tracks]
    width = max(player.width for player in players)
    moment = 0
    while True:
        playing = [player.advance(moment * player.rate / rate) for player in players]
        if not any(playing):
            return
        yield _grid([player.draw(width, words) for player in players], across)
        moment += 1


class _Player:
    """Plays one track: keeps the frame that is to be seen now."""

    def __init__(self, track: Track, height: int) -> None:
        self.rate, self._name = track.rate, track.name
        rows, columns = track.first.frame.shape[:2]
        self.width = max(1, round(height * columns / rows))
        self._size = (self.width, height)
        # Pixels of a small frame stay pixels where they can be repeated a whole number of times.
        whole = height % rows == 0 and self.width % columns == 0
        self._way = Image.Resampling.NEAREST if whole else Image.Resampling.BICUBIC
        self._moments, self._place = _moments(track), -1
        self._now, self._ended = _Moment(track.first.frame), False
        self._drawn: Picture | None = None

    def advance(self, place: Fraction) -> bool:
        """Moves on to a place in the episode, counted in frames; False when it has ended."""
        while not self._ended and self._place < int(place):
            moment = next(self._moments, None)
            self._ended, self._drawn = moment is None, None
            self._now = moment or self._now
            self._place += 1
        return not self._ended

    def draw(self, width: int, words: bool) -> Picture:
        """The frame on a cell of some width, its name above and its words below."""
        if self._drawn is None:
            frame = np.asarray(Image.fromarray(self._now.frame).resize(self._size, self._way))
            cell = np.full((len(frame), width, 3), _PAPER, np.uint8)
            left = (width - self.width) // 2
            cell[:, left : left + self.width] = frame // 3 if self._ended else frame
            ended = self._ended and self._now.end
            name = f"{self._name} · {self._now.end}" if ended else self._name
            parts = [_bar(name, width, 1, _FAINT), cell]
            parts += [_bar(self._now.text, width, _LINES, _INK)] if words else []
            self._drawn = np.concatenate(parts)
        return self._drawn


@dataclass(frozen=True, slots=True, eq=False)
class _Moment:
    frame: Frame
    text: str = ""
    end: str = ""


def _moments(track: Track) -> Iterator[_Moment]:
    yield _Moment(track.first.frame)
    for step in track.steps:
        end = "terminated" if step.terminated else "truncated" if step.truncated else ""
        for frame in step.prediction.trajectory:
            yield _Moment(frame, step.text, end)


def _bar(text: str, width: int, lines: int, ink: Colour) -> Picture:
    """A bar of words, as high as `lines` lines need."""
    room = width - 2 * _EDGE
    bar = np.full((lines * line_height(_TYPE) + 2 * _EDGE, width, 3), _PAPER, np.uint8)
    bar[_EDGE:-_EDGE, _EDGE:-_EDGE] = text_block(
        wrap(text, size=_TYPE, width=room, lines=lines),
        size=_TYPE,
        width=room,
        height=lines * line_height(_TYPE),
        ink=ink,
        paper=_PAPER,
    )
    return bar


def _grid(cells: Sequence[Picture], across: int) -> Picture:
    height, width = cells[0].shape[:2]
    down = -(-len(cells) // across)
    size = (down * (height + _GAP) - _GAP, across * (width + _GAP) - _GAP, 3)
    sheet = np.full(size, _PAPER, np.uint8)
    for index, cell in enumerate(cells):
        row, column = divmod(index, across)
        top, left = row * (height + _GAP), column * (width + _GAP)
        sheet[top : top + height, left : left + width] = cell
    return sheet
