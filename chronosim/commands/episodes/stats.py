"""Sums a data set up: lengths, rewards, actions, who made it; as a table, JSON and a picture.

Examples:
    chronosim episodes stats runs/thousand
    chronosim episodes stats datasets/carracing output=runs/carracing-stats
    chronosim episodes stats path=datasets/carracing/0000007
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from chronosim.cli.output import episodes_at, new_folder
from chronosim.cli.summary import Facts, draw_summary, facts, pace, summed_up, write_report
from chronosim.cli.terminal import faint, table
from chronosim.episodes import EpisodeReader
from chronosim.errors import InvalidEpisode
from chronosim.settings.commands import EpisodesStats

__all__ = ["run"]


_DRAWN = 8  # numbers of an action in the picture


def run(settings: EpisodesStats) -> None:
    """Runs the command.

    Raises:
        ChronosimError: No episode there, or one that cannot be read.
    """
    readers = [EpisodeReader(path) for path in episodes_at(settings.path)]
    rows, actions = [facts(reader) for reader in readers], _actions(readers)
    report = {**summed_up(rows), **_contents(readers, rows), "action": _spread(actions)}
    folder = new_folder(settings.composed, "stats")
    write_report(report, folder / "stats.json")
    lines = _lines(report)
    print("\n".join(f"{faint(f'{name:<10}')}{value}" for name, value in lines))
    print(f"\n{_tables(report)}")
    words = [f"{name}: {value}" for name, value in lines]
    numbers = (
        {}
        if actions.dtype.kind not in "biuf"
        else {f"action {index}": column for index, column in enumerate(actions.T[:_DRAWN])}
    )
    paths = [reader.path for reader in readers]
    draw_summary(rows, paths, words, folder / "stats.png", numbers)
    print(faint(f"\nstats.json and stats.png are in {folder}"))


def _contents(readers: Sequence[EpisodeReader], rows: Sequence[Facts]) -> dict[str, Any]:
    """Who made the episodes, and of how many frames of what size, over how much time."""
    sizes = Counter(
        " x ".join(map(str, reader.observation(0).frame.shape[:2])) for reader in readers
    )
    between = sum(int(reader.column("between_length").sum()) for reader in readers if reader.steps)
    held = [pace(reader.about) for reader in readers]
    clocked = all(seconds is not None for seconds in held)
    return {
        "frames": sum(reader.steps + 1 for reader in readers) + between,
        "frame sizes": dict(sizes),
        "worlds": dict(Counter(row.world for row in rows)),
        "policies": dict(Counter(row.policy for row in rows if row.policy)),
        "synthetic": sum(reader.about.get("synthetic") is True for reader in readers),
        "minutes": sum(r.steps * (s or 0) for r, s in zip(readers, held, strict=True)) / 60
        if clocked
        else None,
    }


def _actions(readers: Sequence[EpisodeReader]) -> np.ndarray:
    """All actions: numbers (steps, n), or instructions (steps, 1)."""
    columns = [reader.column("action") for reader in readers if reader.steps]
    flat = [column.reshape(len(column), -1) for column in columns]
    kinds = {(column.dtype.kind in "biuf", column.shape[1]) for column in flat}
    if len(kinds) > 1:
        told = sorted(f"{width} {'numbers' if plain else 'words'}" for plain, width in kinds)
        raise InvalidEpisode(
            f"the actions of these episodes are of several kinds, {', '.join(told)}: "
            "they are no one data set; sum them up one by one"
        )
    return np.concatenate(flat) if flat else np.zeros((0, 0))


def _spread(actions: np.ndarray) -> dict[str, Any]:
    """The range of each number of the actions; or which instructions there are."""
    if not len(actions):
        return {}
    if actions.dtype.kind not in "biuf":
        words = Counter(str(word) for word in actions[:, 0])
        return {"instructions": len(words), "most frequent": dict(words.most_common(10))}
    numbers = actions.astype(float)
    return {
        "mean": numbers.mean(0).tolist(),
        "deviation": numbers.std(0).tolist(),
        "least": numbers.min(0).tolist(),
        "most": numbers.max(0).tolist(),
    }


def _lines(report: dict[str, Any]) -> list[tuple[str, str]]:
    minutes = report["minutes"]
    time = "" if minutes is None else f", {minutes:.1f} minutes of the world"
    sizes = ", ".join(report["frame sizes"])
    return [
        ("episodes", f"{report['episodes']:,}, {_counted(report['ends'])}"),
        ("steps", f"{report['steps']:,}{time}"),
        ("frames", f"{report['frames']:,} of {sizes}"),
        ("world", _counted(report["worlds"])),
        ("policy", _counted(report["policies"]) or "-"),
        ("synthetic", f"{report['synthetic']:,} of {report['episodes']:,} episodes"),
    ]


def _tables(report: dict[str, Any]) -> str:
    head = ("of an episode", "mean", "least", "median", "most")
    spreads = [
        (name, *(float(value) for value in report[name].values()))
        for name in ("length", "return", "reward")
        if report[name] is not None
    ]
    parts = [table(head, spreads)]
    action = report["action"]
    if "mean" in action:
        names = ("mean", "deviation", "least", "most")
        rows = [
            (str(i), *row) for i, row in enumerate(zip(*(action[n] for n in names), strict=True))
        ]
        parts.append(table(("action", *names), rows))
    elif action:
        parts.append(table(("instruction", "times"), list(action["most frequent"].items())))
    return "\n\n".join(parts)


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())
