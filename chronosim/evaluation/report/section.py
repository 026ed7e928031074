"""One part of a report: a verdict, defects by name, tables, pictures, and every number."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Table:
    """Figures in rows and columns.

    Attributes:
        header: What each column is; none: the caption alone is to be read.
        rows: As many cells in each as there are columns.
        caption: What the figures are, and how they were measured: one sentence or two.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.header):
                raise ValueError(f"a row of {len(row)} cells under a header of {len(self.header)}")

    def markdown(self) -> str:
        """Gives the caption and the table in Markdown, its columns aligned."""
        if not self.header:
            return self.caption
        lines = (self.header, *self.rows)
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        ruled = (self.header, tuple("-" * width for width in widths), *self.rows)
        body = "\n".join(f"| {_aligned(line, widths)} |" for line in ruled)
        return f"{self.caption}\n\n{body}" if self.caption else body


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A plot or a filmstrip.

    Attributes:
        png: The bytes of a PNG file.
        caption: What is to be seen: one sentence or two.
    """

    png: bytes
    caption: str


@dataclass(frozen=True, slots=True)
class Gauge:
    """A part's main figure as a bar: with its interval, beside what has to be beaten.

    Attributes:
        label: What is measured: "follows the action".
        value: How much.
        low: Lower end of its 95% interval.
        high: Upper end.
        baseline: What has to be beaten: of guessing, of copy-last-frame.
        baseline_label: What that is.
        least: Where the bar begins.
        most: Where it ends.
        unit: "%" (values are shares of 1), "dB", or "".
        lower_is_better: Whether small values are good.
        gain_low: Lower end of the 95% interval of what it is above the baseline, where both were
            measured on the same items; None: only the two figures are known.
        gain_high: Upper end.
    """

    label: str
    value: float
    low: float
    high: float
    baseline: float
    baseline_label: str
    least: float
    most: float
    unit: str = ""
    lower_is_better: bool = False
    gain_low: float | None = None
    gain_high: float | None = None

    @property
    def light(self) -> str:
        """`good` where the whole interval is on the better side of the baseline.

        Else `unsure` where it holds the baseline, and `bad` where all of it is on the other side.
        The interval is that of the gain where it is known: what is hard for both tells nothing.
        """
        sign = -1 if self.lower_is_better else 1
        if self.gain_low is not None and self.gain_high is not None:
            gain = (self.gain_low, self.gain_high)
        else:
            gain = (self.low - self.baseline, self.high - self.baseline)
        ends = sorted(sign * end for end in gain)
        return "good" if ends[0] > 0 else "bad" if ends[1] <= 0 else "unsure"


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """One part of a report.

    Attributes:
        name: "fidelity", "following", "ranking", "editing", "diagnosis", ...; its key in the JSON.
        title: Its heading.
        verdict: One plain sentence with the main figure, its interval and its baseline.
        warnings: Defects found, by name: "actions are ignored", "colours drift".
        tables: In the order to be read.
        pictures: In the order to be seen.
        values: Every number, as JSON values.
        gauge: The main figure as a bar for the first screen; None: the verdict alone says it.
    """

    name: str
    title: str
    verdict: str
    warnings: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()
    values: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    gauge: Gauge | None = None


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    return " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))


def finite(value: Any) -> Any:
    """Gives values as JSON values; what is infinite or no number (a PSNR without error) is null."""
    if isinstance(value, Mapping):
        return {str(key): finite(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray):
        return finite(value.tolist())
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
