"""An episode as a film, MP4 or GIF: what was seen first, then every trajectory end to end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from chronosim.episodes.lettering import line_height, text_block, wrap
from chronosim.episodes.step import Step
from chronosim.errors import EpisodeWriteError, InvalidEpisode
from chronosim.types import Frame, Observation

__all__ = ["episode_frames", "frame_rate", "write_gif", "write_video"]

_SMALLEST = 384  # pixels of the shorter side: a frame of 96 pixels is no pleasure to watch
_FASTEST_GIF = 50  # frames a second
_TYPE, _LINES = 15, 3
_INK, _PAPER = (235, 236, 240), (28, 30, 36)


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
        _encode(frames, written, Fraction(fps).limit_denominator(1000))
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


def _encode(frames: Iterable[Frame], path: Path, rate: Fraction) -> None:
    shape: tuple[int, ...] | None = None
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "18"})
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1  # the same file whatever the machine
        for frame in frames:
            if shape is None:
                shape = frame.shape
                stream.height, stream.width = _even(_enlarge(frame)).shape[:2]
            if frame.shape != shape:
                raise InvalidEpisode(f"a video's frames are {shape}, but one is {frame.shape}")
            picture = av.VideoFrame.from_ndarray(_even(_enlarge(frame)), format="rgb24")
            container.mux(stream.encode(picture))
        if shape is None:
            raise InvalidEpisode("a video needs at least one frame")
        container.mux(stream.encode())


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
