"""Episodes as films, MP4 or GIF: one alone, or several side by side on one clock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from chronosim.episodes.clips import write_h264
from chronosim.errors import EpisodeWriteError, InvalidEpisode
from chronosim.pictures.chart import Picture
from chronosim.pictures.panels import Colour, line_height, text_block, wrap
from chronosim.protocols import WorldModel
from chronosim.seeds import noise_seed
from chronosim.types import EditPrompt, Frame, Frames, Observation, Step

_SMALLEST = 384  # pixels of the shorter side: a frame of 96 pixels is no pleasure to watch
_AnySize = UInt8[np.ndarray, "_ _ 3"]
_FASTEST_GIF = 50  # frames a second


def frame_rate(seconds_per_step: float | None, length: int) -> Fraction:
    """Frames per second at which a trajectory takes as long as the world it shows.

    Args:
        seconds_per_step: How long an action is held; None where the model has no clock: a step is
            then shown for one second.
        length: Frames in a trajectory, >= 1.
    """
    return Fraction(length / (seconds_per_step or 1.0)).limit_denominator(1000)


def episode_frames(
    first: Observation, steps: Iterable[Step], *, words: bool = False
) -> Iterator[Frame]:
    """Gives the frames of an episode's video, each instant once.

    Args:
        first: The observation the episode began with.
        steps: Its steps.
        words: Whether each frame carries, in a bar below it, the words that led to it.

    Yields:
        RGB uint8; scaled up where words are asked for, so that they can be read.
    """
    yield _with_words(_enlarge(first.frame), "") if words else first.frame
    for step in steps:
        for frame in step.prediction.trajectory:
            yield _with_words(_enlarge(frame), step.text) if words else frame


def continue_video(
    model: WorldModel, frames: Frames, texts: Sequence[str], *, seed: int = 0
) -> UInt8[np.ndarray, "time height width 3"]:
    """Lets a film go on: each text tells what happens next, from the last frame there is.

    The model sees that frame alone, as ChronoEdit was published: what moved before, and how fast,
    is for the words to say.

    Args:
        model: The world model; it works at the film's size.
        frames: The film, one frame or more.
        texts: What happens, one after the other.
        seed: Of the noise; each text has its own that follows from it.

    Returns:
        The film and all that was predicted, each instant once.

    Raises:
        ChronosimError: As the model raises.
    """
    film = [frames]
    for index, text in enumerate(texts):
        [made] = model.predict([EditPrompt(film[-1][-1], text, noise_seed(seed, index))])
        film.append(made.trajectory)
    return np.concatenate(film)


def write_video(frames: Iterable[Frame], path: str | Path, fps: Fraction | float) -> None:
    """Encodes frames as H.264, which every player and browser shows.

    Small frames are scaled up by a whole factor, pixel by pixel. The file appears when it is
    complete.

    Args:
        frames: RGB uint8, all of one size, at least one.
        path: Where to; ends in .mp4.
        fps: Frames per second, > 0.

    Raises:
        InvalidEpisode: No frame, or frames of several sizes.
        EpisodeWriteError: The disk refuses.
    """
    path = Path(path)
    written = path.with_name(f".{path.stem}.partial.mp4")
    try:
        rate = Fraction(fps).limit_denominator(1000)
        write_h264(written, _for_players(frames), rate, pixels="yuv420p", crf="18")
        written.replace(path)
    except OSError as error:  # PyAV's errors are OSErrors as well
        raise EpisodeWriteError(f"the video {path} could not be written: {error}") from error
    finally:
        written.unlink(missing_ok=True)


def write_gif(frames: Iterable[Frame], path: str | Path, fps: Fraction | float) -> None:
    """Writes frames as a GIF that repeats for ever; it keeps time to a hundredth of a second.

    The file appears when it is complete.

    Args:
        frames: RGB uint8, all of one size, at least one.
        path: Where to; ends in .gif.
        fps: Frames per second, > 0 and <= 50, which is as fast as browsers play one.

    Raises:
        InvalidEpisode: No frame, or too many a second.
        EpisodeWriteError: The disk refuses.
    """
    path = Path(path)
    if not 0 < fps <= _FASTEST_GIF:
        raise InvalidEpisode(
            f"a GIF shows up to {_FASTEST_GIF} frames a second, not {float(fps):g}: make an MP4"
        )
    pictures = map(Image.fromarray, frames)
    first = next(pictures, None)
    if first is None:
        raise InvalidEpisode("a video needs at least one frame")
    written = path.with_name(f".{path.stem}.partial.gif")
    held = round(100 / fps) * 10  # milliseconds
    try:
        first.save(written, save_all=True, append_images=pictures, duration=held, loop=0)
        written.replace(path)
    except OSError as error:
        raise EpisodeWriteError(f"the GIF {path} could not be written: {error}") from error
    finally:
        written.unlink(missing_ok=True)


def _for_players(frames: Iterable[_AnySize]) -> Iterator[_AnySize]:
    """Frames that every player shows, scaled up and of even sizes."""
    shape: tuple[int, ...] | None = None
    for frame in frames:
        if shape not in (None, frame.shape):
            raise InvalidEpisode(f"a video's frames are {shape}, but one is {frame.shape}")
        shape = frame.shape
        yield _even(_enlarge(frame))
    if shape is None:
        raise InvalidEpisode("a video needs at least one frame")


def _enlarge(frame: Frame) -> UInt8[np.ndarray, "rows columns 3"]:
    factor = -(-_SMALLEST // min(frame.shape[:2]))
    return frame.repeat(factor, 0).repeat(factor, 1)


def _even(frame: Frame) -> UInt8[np.ndarray, "rows columns 3"]:
    """Repeats the last row and column of odd sizes: H.264 halves its colours' resolution."""
    height, width = frame.shape[:2]
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def _with_words(frame: Frame, text: str) -> UInt8[np.ndarray, "rows columns 3"]:
    width, edge = frame.shape[1], 12
    bar = np.full((_LINES * line_height(_TYPE) + 2 * edge, width, 3), _PAPER, np.uint8)
    bar[edge:-edge, edge:-edge] = text_block(
        wrap(text, size=_TYPE, width=width - 2 * edge, lines=_LINES),
        size=_TYPE,
        width=width - 2 * edge,
        height=_LINES * line_height(_TYPE),
        ink=_INK,
        paper=_PAPER,
    )
    return np.concatenate([frame, bar])


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
