"""A tree of what-ifs summed up: a table, a picture, a film, and its figures as JSON and CSV."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from chronosim.commands.terminal import table
from chronosim.episodes.montage import Track, montage
from chronosim.episodes.video import frame_rate, write_video
from chronosim.errors import EpisodeWriteError
from chronosim.frames import write_frame
from chronosim.whatif.divergence import Divergence, measure
from chronosim.whatif.picture import draw_tree
from chronosim.whatif.tree import Branch, Tree

__all__ = ["print_futures", "write_futures"]


def print_futures(tree: Tree, apart: float, *, tried: int, asked: int, needed: int) -> None:
    """Prints a line for each branch: its score, and how far it is from the first, step by step.

    Args:
        tree: The branches to show, the first being what the others are compared with.
        apart: RMS grey levels from which two frames count as different.
        tried: Branches that there are in all.
        asked: Predictions that the model was asked for.
        needed: Predictions that the branches consist of.
    """
    divergence, name = measure(tree), tree.branches[0].name
    steps = [f"step {step}" for step in range(1, tree.depth + 1)]
    rows = [
        (branch.name, branch.score, _end(branch), _parts(divergence, row, apart), *rms)
        for row, (branch, rms) in enumerate(zip(tree.branches, divergence.rms[0], strict=True))
    ]
    print(f"\nHow far from {name!r}, RMS grey levels after each step:\n")
    print(table(("branch", "score", "end", f"parts (>= {apart:g})", *steps), rows))
    more = f"{len(tree)} of {tried} plans shown; " if tried > len(tree) else ""
    print(f"\n{more}{needed} predictions, {asked} of them made now")


def write_futures(
    tree: Tree, folder: Path, *, apart: float, seconds_per_step: float | None
) -> None:
    """Writes tree.png, tree.mp4, tree.json and divergence.csv.

    Args:
        tree: At least one branch with a step.
        folder: Where to.
        apart: RMS grey levels from which two frames count as different.
        seconds_per_step: How long an action is held; None where the model has no clock.

    Raises:
        EpisodeWriteError: The disk refuses.
    """
    write_frame(
        folder / "tree.png", draw_tree(tree, apart=apart, seconds_per_step=seconds_per_step)
    )
    _film(tree, folder / "tree.mp4", seconds_per_step)
    divergence = measure(tree)
    try:
        text = json.dumps(_values(tree, divergence, apart), indent=2, allow_nan=False)
        (folder / "tree.json").write_text(text + "\n", encoding="utf-8")
        with (folder / "divergence.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("branch", "other", "step", "rms_grey_levels", "psnr_db"))
            writer.writerows(divergence.rows())
    except OSError as error:
        raise EpisodeWriteError(f"the figures could not be written to {folder}: {error}") from error


def _film(tree: Tree, path: Path, seconds_per_step: float | None) -> None:
    """All branches side by side, from the same moment on."""
    tracks = [
        Track(tree.root, branch.steps, _rate(branch, seconds_per_step), branch.name)
        for branch in tree.branches
    ]
    fastest = max(track.rate for track in tracks)
    write_video(montage(tracks, fastest), path, fastest)


def _rate(branch: Branch, seconds_per_step: float | None) -> Any:
    length = len(branch.steps[0].prediction.trajectory) if branch.steps else 1
    return frame_rate(seconds_per_step, length)


def _end(branch: Branch) -> str:
    return f"ended at {len(branch.steps)}" if branch.ended else ""


def _parts(divergence: Divergence, row: int, apart: float) -> str | None:
    first = divergence.first(0, row, apart)
    return None if first is None else f"step {first}"


def _values(tree: Tree, divergence: Divergence, apart: float) -> dict[str, Any]:
    """The figures of a tree as JSON values."""
    return {
        "apart": apart,
        "branches": [
            {
                "name": branch.name,
                "score": None if math.isnan(branch.score) else branch.score,
                "ended": branch.ended,
                "rewards": [step.reward for step in branch.steps],
                "actions": [np.asarray(action).tolist() for action in branch.actions],
                "words": [step.text for step in branch.steps],
                "shares": tree.split(row)[1],
                "with": _name(tree, tree.split(row)[0]),
                "parts_from": {
                    other.name: divergence.first(row, index, apart)
                    for index, other in enumerate(tree.branches)
                    if index != row
                },
            }
            for row, branch in enumerate(tree.branches)
        ],
    }


def _name(tree: Tree, index: int | None) -> str | None:
    return None if index is None else tree.branches[index].name
