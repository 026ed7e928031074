"""The figures of a speed comparison, as numbers, as a table and in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from math import isfinite
from typing import Any

import numpy as np

from chronosim.bench.timing import Contender, Timed
from chronosim.metrics.pixels import psnr, squared_error
from chronosim.models.engine.sampling import Sampling
from chronosim.models.loading.cards import count_flops
from chronosim.types import Trajectory

_OURS = ("compiled", "fused", "attention", "batched_guidance")  # the stock pipeline has none
_SHARED = ("storage", "tiling", "parallel")


def figures(
    contenders: Sequence[Contender],
    timed: Sequence[Timed],
    rate: float,
    truth: Sequence[Trajectory] | None,
) -> list[dict[str, Any]]:
    """Works out what each contender did, in JSON values.

    Args:
        contenders: Who; each is compared with the stock one of its kind, where there is one.
        timed: What was measured of each.
        rate: The machine's floating-point operations a second.
        truth: What truly came of each prompt; None: nobody knows, and PSNR is to the stock one.

    Returns:
        A mapping for each; without a stock one there is no `times_stock` and no `from_stock`, and
        without the truth as well no `psnr`. None where two cannot be compared.
    """
    pairs = list(zip(contenders, timed, strict=True))
    stock = {contender.kind: (contender, found) for contender, found in pairs if contender.stock}
    rows = []
    for contender, found in pairs:
        ours, loop = _trajectories(found), float(np.median(found.loops))
        row: dict[str, Any] = {
            "name": contender.name,
            "kind": contender.kind,
            "sampling": asdict(contender.sampling),
            "frames": len(ours[0]),
            "p50": found.latency(50),
            "p95": found.latency(95),
            "steps_per_second": {str(n): found.rate(n) for n in found.seconds},
            "loop_p50": loop,
            "flops": found.flops,
            "share_of_matmul_rate": found.flops / (loop * rate),
            "memory": found.memory,
            "seconds": {str(n): values for n, values in found.seconds.items()},
            "loop_seconds": found.loops,
        }
        true = truth
        if contender.kind in stock:
            other, theirs = stock[contender.kind]
            alike = not contender.stock and _same(contender.sampling, other.sampling)
            row["times_stock"] = theirs.latency(50) / found.latency(50)
            row["from_stock"] = _largest(ours, _trajectories(theirs)) if alike else None
            if truth is None:
                true = [] if contender.stock else _trajectories(theirs)
        if true is not None:
            row["psnr"] = _psnr([t[-1:] for t in ours], [t[-1:] for t in true])
            row["psnr_between"] = _psnr([t[:-1] for t in ours], [t[:-1] for t in true])
        rows.append(row)
    return rows


def markdown(rows: Sequence[Mapping[str, Any]], truth: bool) -> str:
    """Lays the figures out as a Markdown table.

    Args:
        rows: From `figures`.
        truth: Whether PSNR is to the truth, not to the stock one.
    """
    named = [dict(_cells(row, "the truth" if truth else "stock")) for row in rows]
    head = list(named[0])
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    lines += [[cells[column] for column in head] for cells in named]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def explain(report: Mapping[str, Any]) -> str:
    """Says what was timed, on what, and what the columns mean.

    Args:
        report: As `chronosim bench model` writes it to figures.json.
    """
    machine, model, versions = report["machine"], report["model"], report["versions"]
    settings, (height, width), sampling = report["settings"], report["size"], model["sampling"]
    ways = [f"{name}={model[name]}" for name in _OURS if model.get(name)]
    alone = [f"{' '.join(ways)} (ours alone)" if settings["stock"] else " ".join(ways)]
    shared = [f"{name}={model[name]}" for name in _SHARED if model.get(name)]
    shared += [f"quantization of {part}" for part in model.get("quantization", {})]
    timed = [
        f"{model['name']} at {height} x {width}",
        _count(sampling["denoising_steps"], "denoising step"),
        f"guidance {sampling['guidance']:g}",
        f"flow shift {sampling['flow_shift']:g}",
        f"{sampling['scheduler']}",
        f"{model['dtype']}",
        f"{_count(model['micro_batch'], 'row')} at once",
        *(alone if ways else []),
        *shared,
        f"{_count(settings['predictions'], 'round')} after a warm-up",
        f"seed {settings['seed']}",
    ]
    gpu = machine.get("gpu")
    on = [
        *([gpu] if gpu else []),
        f"{machine['processor']}",
        f"{machine['usable_cpus'] or machine['cpus']} cores",
        _count(machine["torch_threads"], "thread"),
        f"Python {machine['python']}",
        *(f"{n} {versions[n]}" for n in ("chronosim", "torch", "diffusers", "transformers")),
    ]
    held = (
        "the most that is allocated on the GPU meanwhile, weights included"
        if gpu
        else "by how much the process grows over what it held just before"
    )
    return (
        f"Timed: {', '.join(timed)}.\n"
        f"On: {', '.join(on)}; one large product of matrices runs at "
        f"{report['matmul_rate'] / 1e9:,.0f} GFLOP/s.\n"
        "p50 and p95 are of a whole step of one environment, words and pictures included. The loop "
        "is the denoising in it; GFLOP and the share of the matmul rate there are the "
        f"transformer's alone. Memory is that of a call for one environment: {held}."
    )


def markdown_ways(rows: Sequence[Mapping[str, Any]]) -> str:
    """Lays out what `compare_ways` found, with `flops` in each row, as a Markdown table."""
    plain = {row["preset"]: row["seconds"] for row in rows if row["with"] == "as it is"}
    lines = [
        "| preset | with | s a prediction | times as fast | blocks computed | transformer's "
        "arithmetic | off plain: PSNR, dB / grey levels | GPU memory, GiB |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        off = "equal" if row["psnr"] is None else f"{row['psnr']:.1f} / {row['levels']}"
        memory = "-" if row["memory"] is None else f"{row['memory'] / 2**30:.1f}"
        cells = (
            row["preset"],
            row["with"],
            f"{row['seconds']:.2f}",
            f"{plain[row['preset']] / row['seconds']:.2f}",
            f"{row['blocks']:.0%}",
            "-" if row["flops"] is None else count_flops(row["flops"]),
            off if row["with"] != "as it is" else "-",
            memory,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def explain_ways(report: Mapping[str, Any]) -> str:
    """Says what `compare_ways` timed, on what, and what its columns mean."""
    machine, model, versions = report["machine"], report["model"], report["versions"]
    asked, size = ("{} x {}".format(*report[name]) for name in ("frames", "size"))
    toy, weights = bool(model.get("toy")), model.get("weights") == "random"
    kind = "a toy of ChronoEdit-14B's shape" if toy else model["name"]
    on = machine.get("gpu") or machine["processor"]
    lines = [
        f"Timed: {kind}{' with random weights' if weights else ''} at {asked}, {model['dtype']}, "
        f"one row at once, after a warm-up in few steps. On: {on}, torch {versions['torch']}, "
        f"diffusers {versions['diffusers']}, chronosim {versions['chronosim']}; one large product "
        f"of matrices runs at {report['matmul_rate'] / 1e9:,.0f} GFLOP/s.",
        f"Arithmetic is reckoned for {'the 14B at ' if weights else ''}{size} and for the share of "
        "blocks that were computed.",
    ]
    if toy:
        lines.append(
            "There is no GPU here: seconds and errors are the toy's, and tell nothing of the 14B; "
            "chronosim predict explain=true gpu=h100 computes its seconds."
        )
    elif weights:
        lines.append("Errors are those of random weights, and tell little of trained ones.")
    return "\n".join(lines)


def _cells(row: Mapping[str, Any], compared: str) -> Iterator[tuple[str, str]]:
    """The columns' heads and what stands in a row; those that nobody can fill are left out."""
    yield "", row["name"]
    yield "frames", str(row["frames"])
    yield "p50, s", f"{row['p50']:.3f}"
    yield "p95, s", f"{row['p95']:.3f}"
    if "times_stock" in row:
        yield "x stock", f"{row['times_stock']:.2f}"
    for number, rate in row["steps_per_second"].items():
        yield f"env-steps/s, {_count(int(number), 'env')}", f"{rate:.2f}"
    yield "loop p50, s", f"{row['loop_p50']:.3f}"
    yield "transformer's GFLOP", f"{row['flops'] / 1e9:,.2f}"
    yield "of the matmul rate, in the loop", f"{row['share_of_matmul_rate']:.0%}"
    memory = row["memory"]
    yield "memory of a call, MiB", "-" if memory is None else f"{memory / 2**20:,.0f}"
    if "psnr" in row:
        values = f"{_decibels(row['psnr'])} / {_decibels(row['psnr_between'])}"
        yield f"PSNR to {compared}, outcome / between, dB", values
    if "from_stock" in row:
        levels = row["from_stock"]
        yield "off stock by", "-" if levels is None else _count(levels, "grey level")


def _trajectories(found: Timed) -> list[Trajectory]:
    return [prediction.trajectory for prediction in found.predictions]


def _same(one: Sampling, other: Sampling) -> bool:
    """Whether two compute the same: reasoning in all of four steps is reasoning in four."""
    alike = replace(one, reasoning_steps=other.reasoning_steps)
    return alike == other and one.reasoned_steps == other.reasoned_steps


def _psnr(ours: Sequence[np.ndarray], truth: Sequence[np.ndarray]) -> float | str | None:
    """PSNR of the squared error pooled over all, or "equal"; None: nothing to compare."""
    pairs = [(a, b) for a, b in zip(ours, truth, strict=False) if len(a) == len(b) > 0]
    if not pairs:
        return None
    value = psnr(float(np.mean([squared_error(a, b) for a, b in pairs])))
    return value if isfinite(value) else "equal"


def _largest(ours: Sequence[Trajectory], theirs: Sequence[Trajectory]) -> int:
    """By how many grey levels they differ at most, over all frames."""
    pairs = zip(ours, theirs, strict=True)
    return max(int(np.abs(a.astype(int) - b.astype(int)).max()) for a, b in pairs)


def _decibels(value: float | str | None) -> str:
    return "-" if value is None else value if isinstance(value, str) else f"{value:.1f}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
