"""Plays episodes as a film, several side by side, with the action's words below each frame.

All run on one clock, as fast as the worlds they show; one that ended early stays, greyed out. Of a
data set the first few are played.

Examples:
    chronosim episodes play runs/thousand/episodes/0000003
    chronosim episodes play runs/thousand most=6 columns=3 speed=2 output=six.gif
    chronosim episodes play runs/a/episodes/0000000 runs/b/episodes/0000000 words=false
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

from tqdm import tqdm

from chronosim.cli.output import check_free, dataset_at, new_folder, output_path, place
from chronosim.cli.terminal import faint
from chronosim.episodes import EpisodeReader, list_episodes
from chronosim.episodes.place import Place, is_episode
from chronosim.episodes.summary import pace, world_name
from chronosim.errors import InvalidConfig
from chronosim.pictures.video import Track, frame_rate, montage, write_gif, write_video
from chronosim.settings.commands import EpisodesPlay
from chronosim.types import Frame

_KINDS = {".mp4": write_video, ".gif": write_gif}


def run(settings: EpisodesPlay) -> None:
    """Runs the command.

    Raises:
        ChronosimError: A setting that cannot work, or an episode that cannot be read.
    """
    readers = [EpisodeReader(path) for path in _chosen(settings.paths, settings.most)]
    output = _output(settings)
    tracks = [_track(reader, settings.speed) for reader in readers]
    rate = max(track.rate for track in tracks)
    frames = montage(
        tracks, rate, columns=settings.columns, height=settings.height, words=settings.words
    )
    _KINDS[output.suffix](_counted(frames), output, rate)
    names = ", ".join(reader.path.name for reader in readers)
    print(f"{names}\n{faint(str(output))}")


def _chosen(given: Sequence[str], most: int) -> list[Place]:
    paths: list[Place] = []
    for path in map(place, given):
        paths += [path] if is_episode(path) else list_episodes(dataset_at(path))
    if len(paths) > most:
        print(f"Of {len(paths)} episodes the first {most} are played; most= plays more")
    return paths[:most]


def _output(settings: EpisodesPlay) -> Path:
    if settings.output is None:
        return new_folder(settings.composed, "play") / "episodes.mp4"
    output = output_path(settings.composed)
    if output.suffix not in _KINDS:
        raise InvalidConfig(f"output must end in {' or '.join(_KINDS)}, not {output}")
    check_free(output, settings.force)
    return output


def _track(reader: EpisodeReader, speed: float) -> Track:
    length = int(reader.column("between_length")[0]) + 1 if reader.steps else 1
    rate = frame_rate(pace(reader.about), length) * Fraction(speed).limit_denominator(100)
    world = world_name(reader.about)
    name = f"{reader.path.name} · {world}" if world else reader.path.name
    return Track(reader.observation(0), reader, rate, name)


def _counted(frames: Iterable[Frame]) -> Iterator[Frame]:
    yield from tqdm(frames, unit="frame", leave=False)
