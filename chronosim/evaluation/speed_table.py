"""The figures of a speed comparison, as numbers and as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import numpy as np

from chronosim.evaluation.fidelity import psnr, squared_error
from chronosim.evaluation.speed import Contender, Timed
from chronosim.types import Trajectory

__all__ = ["figures", "markdown"]


def figures(
    contenders: Sequence[Contender],
    timed: Sequence[Timed],
    flops: Sequence[int],
    rate: float,
    truth: Sequence[Trajectory] | None,
) -> list[dict[str, Any]]:
    """Works out what each contender did, in JSON values.

    Args:
        contenders: Who; the last of each kind is the one that the others of it are compared with.
        timed: What was measured of each.
        flops: Of a prediction of each, of the transformer alone.
        rate: The machine's floating-point operations a second.
        truth: What truly came of each prompt; None: nobody knows, and PSNR is to that last one.
    """
    stock = {contender.kind: found for contender, found in zip(contenders, timed, strict=True)}
    rows = []
    for contender, found, work in zip(contenders, timed, flops, strict=True):
        other = stock[contender.kind]
        ours = [prediction.trajectory for prediction in found.predictions]
        theirs = [prediction.trajectory for prediction in other.predictions]
        true = theirs if truth is None else truth
        median = found.latency(50)
        rows.append(
            {
                "name": contender.name,
                "kind": contender.kind,
                "frames": len(ours[0]),
                "p50": median,
                "p95": found.latency(95),
                "times_stock": other.latency(50) / median,
                "steps_per_second": {str(n): found.rate(n) for n in found.seconds},
                "memory": found.memory,
                "flops": work,
                "share_of_matmul_rate": work / (median * rate),
                "from_stock": _largest(ours, theirs),
                "psnr": _psnr([t[-1:] for t in ours], [t[-1:] for t in true]),
                "psnr_between": _psnr([t[:-1] for t in ours], [t[:-1] for t in true]),
                "seconds": {str(n): values for n, values in found.seconds.items()},
            }
        )
    return rows


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Lays the figures out as a Markdown table."""
    numbers = list(rows[0]["steps_per_second"])
    head = ["", "frames", "p50, s", "p95, s", "x stock"]
    head += [f"env-steps/s, {number} env{'s' * (number != '1')}" for number in numbers]
    head += ["peak MiB", "GFLOP", "of matmul rate", "PSNR outcome / between, dB", "off stock by"]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for row in rows:
        rates = [f"{row['steps_per_second'][number]:.2f}" for number in numbers]
        lines.append(
            [
                row["name"],
                str(row["frames"]),
                f"{row['p50']:.3f}",
                f"{row['p95']:.3f}",
                f"{row['times_stock']:.2f}",
                *rates,
                f"{row['memory'] / 2**20:,.0f}",
                f"{row['flops'] / 1e9:,.1f}",
                f"{row['share_of_matmul_rate']:.0%}",
                f"{_short(row['psnr'])} / {_short(row['psnr_between'])}",
                _levels(row["from_stock"]),
            ]
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _psnr(ours: Sequence[np.ndarray], truth: Sequence[np.ndarray]) -> float | None:
    """PSNR of the squared error pooled over all; None: nothing to compare, or equal."""
    pairs = [(a, b) for a, b in zip(ours, truth, strict=True) if len(a) == len(b) > 0]
    if not pairs:
        return None
    value = psnr(float(np.mean([squared_error(a, b) for a, b in pairs])))
    return value if isfinite(value) else None


def _largest(ours: Sequence[Trajectory], theirs: Sequence[Trajectory]) -> int:
    """By how many grey levels they differ at most, over all frames."""
    pairs = zip(ours, theirs, strict=True)
    return max(int(np.abs(a.astype(int) - b.astype(int)).max()) for a, b in pairs)


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _levels(value: int) -> str:
    return f"{value} grey level{'s' * (value != 1)}"
