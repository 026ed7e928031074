"""Lists the episodes of a data set: how long, how they ended, who acted in what, how large.

An episode that is not finished has failed where its log says why, is live where it was written to
within the last minute, and broken off otherwise. One that cannot be opened is damaged: how, says
the command episodes verify.

Examples:
    chronosim episodes ls runs/thousand
    chronosim episodes ls datasets/carracing sort=return
    chronosim episodes ls path=datasets/carracing sort=size lines=20
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from chronosim.cli.output import dataset_at, place
from chronosim.cli.terminal import faint, size, table
from chronosim.episodes import EpisodeReader, list_episodes
from chronosim.episodes.place import Place, remains
from chronosim.episodes.summary import EpisodeSummary, files, summarize
from chronosim.errors import InvalidEpisode
from chronosim.settings.commands import EpisodesLs

_HEAD = ("episode", "steps", "end", "world", "policy", "reward", "return", "fps", "size")
_Row = tuple[EpisodeSummary, int]
_SORTS: dict[str, Callable[[_Row], object]] = {
    "name": lambda row: row[0].name,
    "steps": lambda row: -row[0].steps,
    "return": lambda row: -row[0].total,
    "size": lambda row: -row[1],
}


def run(settings: EpisodesLs) -> None:
    """Runs the command.

    Raises:
        ChronosimError: A setting that cannot work, or no data set there.
    """
    dataset = dataset_at(place(settings.path))
    rows, damaged = [], []
    for path in list_episodes(dataset, unfinished=True):
        try:
            rows.append(_row(path))
        except InvalidEpisode as error:
            damaged.append(str(error))
    rows.sort(key=_SORTS[settings.sort])  # type: ignore[arg-type]  # each orders its own kind alone
    print(table(_HEAD, [_cells(*row) for row in rows], most=settings.lines))
    steps, total = sum(row[0].steps for row in rows), sum(row[1] for row in rows)
    print(faint(f"\n{len(rows):,} episodes, {steps:,} steps, {size(total)} in {dataset}"))
    for sentence in damaged:
        print(f"damaged: {sentence}")
    if left := remains(dataset):
        extent = size(sum(files(path).size for path in left))
        print(
            f"left over from killed attempts: {len(left)}, {extent}; episodes repair removes them"
        )


def _row(path: Place) -> _Row:
    known, found = summarize(EpisodeReader(path)), files(path)
    if known.end == "unfinished":
        known = replace(known, end="live" if found.live else "broken off")
    return known, found.size


def _cells(row: EpisodeSummary, count: int) -> tuple[object, ...]:
    fps = None if row.fps is None else f"{row.fps:.3g}"
    return (
        row.name,
        row.steps,
        row.end,
        row.world,
        row.policy or None,
        row.reward,
        row.total,
        fps,
        size(count),
    )
