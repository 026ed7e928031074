"""Episodes in one line each, and many of them summed up: a table, its JSON, and a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from chronosim.cli.terminal import table
from chronosim.episodes import EpisodeReader
from chronosim.episodes.place import Place
from chronosim.episodes.summary import EpisodeSummary, figures
from chronosim.files import write_text
from chronosim.frames import write_frame
from chronosim.pictures.chart import Picture, beside, heading, histogram, stack
from chronosim.pictures.panels import Panel, filmstrip

_SHOWN = 28  # episodes on the sheet


def print_episodes(rows: Sequence[EpisodeSummary], most: int | None = None) -> None:
    """Prints a line for each episode, the middle ones left out where there are too many."""
    head = ("episode", "seed", "steps", "end", "reward", "return", "s/step")
    cells = [
        (row.name, _plain(row.seed), row.steps, row.end, row.reward, row.total, _each(row))
        for row in rows
    ]
    print(table(head, cells, most=most))


def write_summary(rows: Sequence[EpisodeSummary], path: Path) -> None:
    """Writes the figures, and those of each episode, as JSON.

    Raises:
        EpisodeWriteError: The disk refuses.
    """
    write_report({**figures(rows), "each": [asdict(row) for row in rows]}, path)


def write_report(report: Mapping[str, Any], path: Path) -> None:
    """Writes figures as JSON, null for those that are not finite.

    Raises:
        EpisodeWriteError: The disk refuses.
    """
    text = json.dumps(_json(report), indent=2, allow_nan=False) + "\n"
    write_text(path, text)


def draw_summary(
    rows: Sequence[EpisodeSummary],
    paths: Sequence[Place],
    words: Sequence[str],
    path: Path,
    more: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Draws what came of the episodes: returns, lengths, and how some of them ended.

    Args:
        rows: The episodes' facts.
        paths: The same episodes.
        words: Lines over the picture.
        path: Where to; ends in .png.
        more: Other numbers to draw the spread of, by their titles.

    Raises:
        EpisodeWriteError: The disk refuses.
    """
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(_SHOWN, len(rows))).astype(int))
    sheet = _last_frames([rows[index] for index in chosen], [paths[index] for index in chosen])
    numbers: dict[str, Any] = {
        "return": [row.total for row in rows],
        "steps": [row.steps for row in rows],
        **(more or {}),
    }
    half = max(420, sheet.shape[1] // 2)
    drawn = [histogram(values, title, width=half) for title, values in numbers.items()]
    charts = stack([beside(drawn[index : index + 2]) for index in range(0, len(drawn), 2)])
    shown = f"how {'they' if len(chosen) == len(rows) else f'{len(chosen)} of them'} ended"
    over = heading(words, charts.shape[1])
    write_frame(path, stack([over, charts, heading([shown], charts.shape[1]), sheet]))


def _last_frames(rows: Sequence[EpisodeSummary], paths: Sequence[Place]) -> Picture:
    panels = [
        Panel(
            EpisodeReader(path).observation(row.steps).frame,
            f"{row.name} · {row.steps} steps · {row.end}",
            f"return {row.total:.2f}",
        )
        for row, path in zip(rows, paths, strict=True)
    ]
    return filmstrip(panels, columns=min(7, len(panels)))


def _each(row: EpisodeSummary) -> float:
    return row.seconds / row.steps if row.steps else float("nan")


def _plain(seed: int | None) -> str | None:
    return None if seed is None else str(seed)


def _json(value: Any) -> Any:
    """The same with null for what JSON has no number for."""
    if isinstance(value, Mapping):
        return {key: _json(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_json(one) for one in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
