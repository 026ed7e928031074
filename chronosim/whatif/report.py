"""A tree in pictures and figures: one sheet, a film of the branches, JSON and CSV."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from chronosim.errors import EpisodeWriteError
from chronosim.files import write_text
from chronosim.frames import write_frame
from chronosim.pictures.panels import FAINT, INK, PAPER, Colour, font_of, line_height, wrap
from chronosim.pictures.video import Track, frame_rate, montage, write_video
from chronosim.types import Frame
from chronosim.whatif.tree import Branch, Divergence, Tree, measure

_MARGIN, _GAP, _ROOM = 36, 40, 28  # pixels: around, between columns, between rows
_TYPE, _LARGE = 13, 22
_MOST_LINES = 5
_END = 230  # pixels for the name and the score at a row's end
_HEAD = 44
_BAR = 5
_LINE, _WARM, _GOOD = (176, 180, 188), (206, 84, 58), (58, 122, 96)
_FAR = 64.0  # grey levels at which the bar of difference is full


def draw_tree(
    tree: Tree, *, apart: float = 10.0, width: int = 192, seconds_per_step: float | None = None
) -> UInt8[np.ndarray, "rows columns 3"]:
    """Draws a tree: each branch a row, joined to the branch it leaves by a line.

    Under each frame stand the words that led to it and a bar of how far it is from the first
    branch's; at the end of a row its name, its score, and where it parts from the first.

    Args:
        tree: At least one branch.
        apart: RMS grey levels from which frames count as different: these are framed.
        width: Of a frame, pixels.
        seconds_per_step: How long an action is held, for the head of the columns; None: unknown.

    Returns:
        The sheet, RGB uint8.
    """
    return np.asarray(_Sheet(tree, measure(tree), apart, width, seconds_per_step).draw())


@dataclass(frozen=True, slots=True, eq=False)
class _Sheet:
    tree: Tree
    divergence: Divergence
    apart: float
    width: int
    held: float | None

    def draw(self) -> Image.Image:
        rows, columns = len(self.tree), self.tree.depth + 1
        size = (
            2 * _MARGIN + columns * (self.width + _GAP) + _END,
            2 * _MARGIN + _HEAD + rows * self._pitch - _ROOM,
        )
        sheet = Image.new("RGB", size, PAPER)
        pen = ImageDraw.Draw(sheet)
        self._heads(pen)
        middle = sum(self._top(row) for row in (0, rows - 1)) // 2
        self._frame(sheet, self.tree.root.frame, self._left(0), middle)
        for row in range(rows):
            self._line(pen, row, middle)
        best = max((branch.score for branch in self.tree.branches if branch.steps), default=0.0)
        for row, branch in enumerate(self.tree.branches):
            for step in range(self.tree.split(row)[1], len(branch.steps)):
                self._cell(sheet, pen, row, step)
            self._end(pen, row, branch, best)
        return sheet

    def _heads(self, pen: ImageDraw.ImageDraw) -> None:
        names = ["now"]
        for step in range(1, self.tree.depth + 1):
            clock = "" if self.held is None else f" · {step * self.held:.4g} s"
            names.append(f"step {step}{clock}")
        for column, name in enumerate(names):
            pen.text((self._left(column), _MARGIN), name, fill=FAINT, font=font_of(_TYPE))

    def _line(self, pen: ImageDraw.ImageDraw, row: int, middle: int) -> None:
        """The line from where a branch leaves the others to its own first frame, and along it."""
        branch, (parent, split) = self.tree.branches[row], self.tree.split(row)
        half = self._height // 2
        here = self._top(row) + half
        there = middle + half if parent is None else self._top(parent) + half
        turn = self._left(split) + self.width + _GAP // 2
        points = [(self._left(split) + self.width, there), (turn, there), (turn, here)]
        last = self._left(max(len(branch.steps), split))
        pen.line([*points, (max(last, turn), here)], fill=_LINE, width=3, joint="curve")

    def _cell(self, sheet: Image.Image, pen: ImageDraw.ImageDraw, row: int, step: int) -> None:
        taken, left, top = self.tree.branches[row].steps[step], self._left(step + 1), self._top(row)
        self._frame(sheet, taken.after.frame, left, top)
        differs = float(self.divergence.rms[0, row, step])
        under = top + self._height + 6
        if differs >= self.apart:
            box = (left - 2, top - 2, left + self.width + 1, top + self._height + 1)
            pen.rectangle(box, outline=_WARM, width=2)
        if row and not np.isnan(differs):
            full = (left, under, left + self.width - 1, under + _BAR - 1)
            pen.rectangle(full, fill=(232, 232, 228))
            if differs > 0:
                part = max(1, round(self.width * min(differs / _FAR, 1.0)))
                colour = _WARM if differs >= self.apart else _LINE
                pen.rectangle((left, under, left + part - 1, full[3]), fill=colour)
        below = under + _BAR + 5
        for index, line in enumerate(self._words(taken.text)):
            place = (left, below + index * line_height(_TYPE))
            pen.text(place, line, fill=INK, font=font_of(_TYPE))

    def _end(self, pen: ImageDraw.ImageDraw, row: int, branch: Branch, best: float) -> None:
        """The name, the score and what else there is to say, at the end of a row."""
        left = self._left(self.tree.depth + 1) - _GAP + 28
        top, room = self._top(row), _END - 28
        for index, line in enumerate(wrap(branch.name, size=_LARGE, width=room, lines=2)):
            place = (left, top + index * line_height(_LARGE))
            pen.text(place, line, fill=INK, font=font_of(_LARGE))
        top += (index + 1) * line_height(_LARGE) + 4
        colour: Colour = _GOOD if branch.steps and branch.score >= best else INK
        pen.text((left, top), f"score {branch.score:.2f}", fill=colour, font=font_of(_TYPE + 4))
        top += line_height(_TYPE + 4) + 4
        notes = [f"ended at step {len(branch.steps)}"] if branch.ended else []
        if row:
            first = self.divergence.first(0, row, self.apart)
            name = self.tree.branches[0].name
            notes.append(f"like {name}" if first is None else f"parts from {name} at step {first}")
        for note in notes:
            for line in wrap(note, size=_TYPE, width=room, lines=2):
                pen.text((left, top), line, fill=FAINT, font=font_of(_TYPE))
                top += line_height(_TYPE)

    def _frame(self, sheet: Image.Image, frame: Frame, left: int, top: int) -> None:
        picture = Image.fromarray(frame)
        size = (self.width, self._height)
        sheet.paste(picture.resize(size, Image.Resampling.LANCZOS), (left, top))

    def _words(self, text: str) -> list[str]:
        return wrap(text, size=_TYPE, width=self.width, lines=_MOST_LINES)

    def _left(self, column: int) -> int:
        return _MARGIN + column * (self.width + _GAP)

    def _top(self, row: int) -> int:
        return _MARGIN + _HEAD + row * self._pitch

    @property
    def _height(self) -> int:
        height, width = self.tree.root.frame.shape[:2]
        return max(1, round(self.width * height / width))

    @property
    def _pitch(self) -> int:
        """From the top of a row to that of the next."""
        lines = max((len(self._words(text)) for text in _texts(self.tree.branches)), default=1)
        return self._height + 6 + _BAR + 5 + lines * line_height(_TYPE) + _ROOM


def _texts(branches: Sequence[Branch]) -> set[str]:
    return {step.text for branch in branches for step in branch.steps}


def write_film(tree: Tree, path: str | Path, *, seconds_per_step: float | None = None) -> None:
    """Writes a film of all branches side by side, from the same moment on.

    Args:
        tree: At least one branch.
        path: Where to; ends in .mp4.
        seconds_per_step: How long an action is held; None where the model has no clock.

    Raises:
        EpisodeWriteError: The disk refuses.
    """
    tracks = []
    for branch in tree.branches:
        length = len(branch.steps[0].prediction.trajectory) if branch.steps else 1
        rate = frame_rate(seconds_per_step, length)
        tracks.append(Track(tree.root, branch.steps, rate, branch.name))
    fastest = max(track.rate for track in tracks)
    write_video(montage(tracks, fastest), path, fastest)


def figures(tree: Tree, *, apart: float = 10.0) -> dict[str, Any]:
    """Gives the figures of a tree as JSON values: for each branch what it did and where it parts.

    Args:
        tree: Any.
        apart: RMS grey levels from which two frames count as different.
    """
    divergence = measure(tree)
    rows = enumerate(tree.branches)
    return {"apart": apart, "branches": [_row(tree, divergence, apart, *row) for row in rows]}


def _row(
    tree: Tree, divergence: Divergence, apart: float, row: int, branch: Branch
) -> dict[str, Any]:
    parent, shared = tree.split(row)
    return {
        "name": branch.name,
        "score": None if math.isnan(branch.score) else branch.score,
        "ended": branch.ended,
        "rewards": [step.reward for step in branch.steps],
        "actions": [np.asarray(action).tolist() for action in branch.actions],
        "words": [step.text for step in branch.steps],
        "shares": shared,
        "with": None if parent is None else tree.branches[parent].name,
        "parts_from": {
            other.name: divergence.first(row, index, apart)
            for index, other in enumerate(tree.branches)
            if index != row
        },
    }


def write_report(
    tree: Tree, folder: str | Path, *, apart: float = 10.0, seconds_per_step: float | None = None
) -> None:
    """Writes tree.png, tree.mp4, tree.json (the figures) and divergence.csv.

    Args:
        tree: At least one branch with a step.
        folder: Where to; it is there already.
        apart: RMS grey levels from which two frames count as different.
        seconds_per_step: How long an action is held; None where the model has no clock.

    Raises:
        EpisodeWriteError: The disk refuses.
    """
    folder = Path(folder)
    sheet = draw_tree(tree, apart=apart, seconds_per_step=seconds_per_step)
    write_frame(folder / "tree.png", sheet)
    write_film(tree, folder / "tree.mp4", seconds_per_step=seconds_per_step)
    try:
        text = json.dumps(figures(tree, apart=apart), indent=2, allow_nan=False)
        write_text(folder / "tree.json", text + "\n")
        with (folder / "divergence.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("branch", "other", "step", "rms_grey_levels", "psnr_db"))
            writer.writerows(measure(tree).rows())
    except OSError as error:
        raise EpisodeWriteError(f"the figures could not be written to {folder}: {error}") from error
