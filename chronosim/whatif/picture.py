"""How far the branches of a tree part, and a tree on one sheet."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, UInt8
from PIL import Image, ImageDraw

from chronosim.metrics.pixels import psnr, squared_error
from chronosim.pictures.filmstrip import FAINT, INK, PAPER, Colour, font_of, line_height, wrap
from chronosim.types import Frame
from chronosim.whatif.tree import Branch, Tree

__all__ = ["Divergence", "draw_tree", "measure"]

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


@dataclass(frozen=True, slots=True, eq=False)
class Divergence:
    """Differences between the outcomes of every two branches.

    Attributes:
        names: Of the branches.
        rms: Root of the mean squared difference, grey levels: float64 (branches, branches, steps);
            NaN where one of the two had ended.
    """

    names: tuple[str, ...]
    rms: Float64[np.ndarray, "branches branches steps"]

    def psnr(self, one: int, other: int, step: int) -> float:
        """The same as a peak signal-to-noise ratio, dB: infinite for equal frames.

        Args:
            one: Index of a branch.
            other: Index of another.
            step: Which step, from 0 on.
        """
        rms = float(self.rms[one, other, step])
        return math.nan if math.isnan(rms) else psnr(rms**2)

    def first(self, one: int, other: int, apart: float) -> int | None:
        """Tells the first step at which two branches differ.

        Args:
            one: Index of a branch.
            other: Index of another.
            apart: RMS grey levels from which frames count as different.

        Returns:
            Counted from 1; None if they never differ while both go on.
        """
        with np.errstate(invalid="ignore"):
            differ = np.flatnonzero(self.rms[one, other] >= apart)
        return int(differ[0]) + 1 if differ.size else None

    def rows(self) -> Iterator[tuple[str, str, int, float, float]]:
        """Gives every two branches at every step that both took.

        Yields:
            The two names, the step (from 1 on), the RMS in grey levels and the PSNR in dB.
        """
        for one, other in zip(*np.triu_indices(len(self.names), 1), strict=True):
            for step, rms in enumerate(self.rms[one, other]):
                if not math.isnan(rms):
                    figures = float(rms), self.psnr(int(one), int(other), step)
                    yield self.names[one], self.names[other], step + 1, *figures


def measure(tree: Tree) -> Divergence:
    """Measures how far the branches of a tree are apart.

    Args:
        tree: Any; branches that share a step differ by 0 there.
    """
    count = len(tree)
    rms = np.full((count, count, tree.depth), np.nan)
    for one in range(count):
        for other in range(one, count):
            pairs = zip(tree.branches[one].steps, tree.branches[other].steps, strict=False)
            for step, (a, b) in enumerate(pairs):
                error = 0.0 if a is b else squared_error(a.after.frame, b.after.frame)
                rms[one, other, step] = rms[other, one, step] = math.sqrt(error)
    return Divergence(tuple(branch.name for branch in tree.branches), rms)
