"""Mends damaged episodes: keeps every whole step, drops the others, and says which.

A step behind a gap cannot go on from what is missing: whole stretches behind one become episodes of
their own. An unfinished episode becomes a finished one, unless it was written to within the last
minute: then --force says that its writer is dead. Whole episodes stay as they are. What killed
attempts left is removed. The exit status is 1 where an episode was left unmended.

Examples:
    chronosim episodes repair runs/thousand
    chronosim episodes repair datasets/carracing/0000007
    chronosim episodes repair path=datasets/carracing --force
"""

from __future__ import annotations

from tqdm import tqdm

from chronosim.cli.output import dataset_at, episodes_at, place
from chronosim.episodes.place import Place, discard, is_episode, named, remains
from chronosim.episodes.repair import repair
from chronosim.episodes.summary import files
from chronosim.episodes.verify import verify
from chronosim.errors import InvalidEpisode
from chronosim.settings.commands import EpisodesRepair


def run(settings: EpisodesRepair) -> int:
    """Runs the command.

    Returns:
        0; 1 where an episode was left unmended.

    Raises:
        ChronosimError: No episode there, or a disk that refuses.
    """
    if not is_episode(place(settings.path)):
        _clear(dataset_at(place(settings.path)), force=settings.force)
    paths, mended, left = episodes_at(settings.path), 0, 0
    for path in tqdm(paths, unit="episode", leave=False):
        kinds = {damage.kind for damage in verify(path) if not damage.harmless}
        if not kinds:
            continue
        if "unfinished" in kinds and files(path).live and not settings.force:
            name = named(path).name
            tqdm.write(f"{name}: was written to just now, and is left alone without --force")
            left += 1
            continue
        try:
            tqdm.write(_mend(path))
            mended += 1
        except InvalidEpisode as error:
            tqdm.write(str(error))
            left += 1
    whole = len(paths) - mended - left
    print(f"of {len(paths)} episodes {whole} were whole, {mended} mended, {left} left unmended")
    return int(left > 0)


def _clear(dataset: Place, *, force: bool) -> None:
    """Removes what killed attempts left, but for what may be at work."""
    for path in remains(dataset):
        if files(path).live and not force:
            print(f"{path.name}: was written to just now, and is left alone without --force")
        else:
            discard(path)
            print(f"{path.name}: left over from a killed attempt, removed")


def _mend(path: Place) -> str:
    """Repairs an episode, and says what came of it."""
    done = repair(path)
    return "\n  ".join(
        [
            f"{named(path).name}: {done.kept} steps kept",
            *done.dropped,
            *(f"{other.name} holds a stretch behind the gap" for other in done.episodes),
        ]
    )
