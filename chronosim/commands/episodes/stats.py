"""Sums a data set up: lengths, rewards, actions, who made it; as a table, JSON and a picture.

Examples:
    chronosim episodes stats runs/thousand
    chronosim episodes stats datasets/carracing output=runs/carracing-stats
    chronosim episodes stats path=datasets/carracing/0000007
"""

from __future__ import annotations

from typing import Any

from chronosim.cli.output import episodes_at, new_folder
from chronosim.cli.summary import draw_summary, write_report
from chronosim.cli.terminal import faint, table
from chronosim.episodes import EpisodeReader
from chronosim.episodes.summary import all_actions, open_readable, summarize, summarize_dataset
from chronosim.settings.commands import EpisodesStats

_DRAWN = 8  # numbers of an action in the picture


def run(settings: EpisodesStats) -> None:
    """Runs the command.

    Raises:
        ChronosimError: No episode there, or one that cannot be read.
    """
    places = episodes_at(settings.path)
    readers, left = (
        open_readable(places)
        if settings.skip_bad
        else ([EpisodeReader(path) for path in places], [])
    )
    report, actions = summarize_dataset(readers), all_actions(readers)
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
    draw_summary(
        [summarize(reader) for reader in readers], paths, words, folder / "stats.png", numbers
    )
    for sentence in left:
        print(f"left out: {sentence}")
    print(faint(f"\nstats.json and stats.png are in {folder}"))


def _lines(report: dict[str, Any]) -> list[tuple[str, str]]:
    minutes = report["minutes"]
    time = "" if minutes is None else f", {minutes:.1f} minutes of the world"
    sizes = ", ".join(report["frame sizes"])
    unknown = report["unknown returns"]
    rewards = f"{unknown:,} returns, whose rewards are no numbers; figures are of the others"
    return [
        ("episodes", f"{report['episodes']:,}, {_counted(report['ends'])}"),
        ("steps", f"{report['steps']:,}{time}"),
        ("frames", f"{report['frames']:,} of {sizes}"),
        ("world", _counted(report["worlds"])),
        ("policy", _counted(report["policies"]) or "-"),
        ("synthetic", f"{report['synthetic']:,} of {report['episodes']:,} episodes"),
        *[("unknown", rewards)] * (unknown > 0),
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
