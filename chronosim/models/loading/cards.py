"""GPUs that are not here: what fits on them, and how long a world step would take there."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from chronosim.errors import InvalidConfig
from chronosim.models.loading.placement import GIB, Stage


@dataclass(frozen=True, slots=True)
class Card:
    """A GPU.

    Attributes:
        name: What NVIDIA calls it.
        memory: Bytes that a process can have.
        rate: Dense bfloat16 FLOP/s with float32 sums, by its data sheet; TF32 has half.
        bandwidth: Bytes/s of its own memory, by its data sheet.
        link: Bytes/s from pinned main memory; from other memory half.
        share: Of the rate that is assumed.
        basis: Where the share comes from.
    """

    name: str
    memory: int
    rate: float
    bandwidth: float
    link: float
    share: float
    basis: str


# Shares, worked out from published times of the same family with this package's count of FLOPs.
_ADA = (
    "assumed, no measurement was found: an Ampere RTX A6000 has 56% at Wan2.1-14B-I2V (761 s for "
    "20 guided steps of 81 frames at 480p, kohya-ss/musubi-tuner#217)"
)
_A100 = (
    "Wan2.1-14B-I2V at 720p in 42 minutes on an A100 (svg-project/Sparse-VideoGen#36), which is "
    "66% if its default of 40 guided steps was run; a tenth taken off"
)
_H100 = (
    "ChronoEdit-14B's 30.4 s on two H100s (arXiv 2510.04290), everything counted; Wan2.1-14B's "
    "2,000 s on one (shawnricecake/draft-attention#10) are 37%"
)
_B200 = f"assumed, no measurement was found: that of the H100. {_H100}"
_PCIE4, _PCIE5 = 25e9, 50e9  # of 31.5 and 63 GB/s: what copies from pinned memory reach

CARDS: Mapping[str, Card] = MappingProxyType(
    {
        "rtx4090": Card("RTX 4090", int(23.5 * GIB), 165.2e12, 1.008e12, _PCIE4, 0.5, _ADA),
        "l40s": Card("L40S", int(44.5 * GIB), 362e12, 0.864e12, _PCIE4, 0.5, _ADA),
        "a100": Card("A100 80 GB", 79 * GIB, 312e12, 2.039e12, _PCIE4, 0.6, _A100),
        "h100": Card("H100 SXM", 78 * GIB, 989e12, 3.35e12, _PCIE5, 0.36, _H100),
        "h200": Card("H200", 139 * GIB, 989e12, 4.8e12, _PCIE5, 0.36, f"that of the H100. {_H100}"),
        "b200": Card("B200", 178 * GIB, 2250e12, 8.0e12, _PCIE5, 0.36, _B200),
    }
)
"""The GPUs known by name; rates and sizes are those of NVIDIA's data sheets."""

_WORD = 0.03  # s that transformers takes for a word at least, on whatever GPU: assumed


def find_card(name: str) -> Card:
    """Gives a GPU by its name.

    Raises:
        InvalidConfig: It is none of `CARDS`.
    """
    if name not in CARDS:
        raise InvalidConfig(f"gpu must be one of {', '.join(CARDS)}, not {name!r}")
    return CARDS[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a world step of one environment asks of a GPU.

    Attributes:
        flops: In 16 bits.
        exact_flops: In float32, the autoencoder's.
        moved: Bytes that come from main memory before something can compute.
        streamed: Bytes that come from pinned memory while something computes.
        words: That an enhancer writes, in tokens.
        read: Bytes that it reads for each.
    """

    flops: float = 0
    exact_flops: float = 0
    moved: float = 0
    streamed: float = 0
    words: int = 0
    read: float = 0

    def seconds(self, card: Card) -> float:
        """Estimates how long that takes."""
        rate = card.rate * card.share
        computing = max(self.flops / rate, self.streamed / card.link) + self.exact_flops / rate * 2
        writing = self.words * max(_WORD, self.read / card.bandwidth)
        return computing + writing + self.moved / card.link * 2


@dataclass(frozen=True, slots=True)
class Way:
    """A way to run a model.

    Attributes:
        settings: That ask for it, on the command line; empty: as the model is.
        stages: Its memory.
        work: Of a world step.
    """

    settings: str
    stages: Sequence[Stage]
    work: Work

    @property
    def device(self) -> int:
        """Bytes on the GPU, at most."""
        return max(stage.device for stage in self.stages)

    @property
    def host(self) -> int:
        """Bytes in main memory, at most."""
        return max(stage.host for stage in self.stages)


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a model would take on any GPU.

    Attributes:
        head: Lines that say what it is and what is downloaded.
        chosen: As it was asked for.
        ways: Other ways to run it, for one environment.
        size: Frames' height and width, pixels.
        notes: Lines that say what was left out.
    """

    head: Sequence[str]
    chosen: Way
    ways: Sequence[Way]
    size: tuple[int, int]
    notes: Sequence[str] = field(default=())

    def fitting(self, card: Card) -> list[Way]:
        """Gives the ways that fit on a GPU, the fastest first."""
        fitting = [way for way in self.ways if way.device <= card.memory]
        return sorted(fitting, key=lambda way: way.work.seconds(card))


def smallest_card(outlook: Outlook) -> str:
    """Gives the smallest GPU that holds a model as it was asked for; else the largest there is."""
    for name, card in CARDS.items():
        if outlook.chosen.device <= card.memory:
            return name
    return list(CARDS)[-1]


def explain_on(outlook: Outlook, card: Card) -> str:
    """Describes a model on a GPU that need not be here."""
    return "\n".join([*outlook.head, *_stages(outlook, card), *_time(outlook, card)])


def explain_anywhere(outlook: Outlook) -> Iterator[str]:
    """Lists what fits on each GPU, in lines."""
    yield (
        f"elsewhere   at {outlook.size[0]} x {outlook.size[1]}, the fastest way that fits, by "
        "arithmetic (gpu=NAME shows its basis):"
    )
    yield "            gpu      on it, GiB  main memory, GiB  s a world step  h a thousand  with"
    for name, card in CARDS.items():
        fitting = outlook.fitting(card)
        if not fitting:
            yield f"            {name:<8} nothing fits in {card.memory / GIB:.1f} GiB"
            continue
        way = fitting[0]
        seconds = way.work.seconds(card)
        yield (
            f"            {name:<8} {way.device / GIB:>10.1f} {way.host / GIB:>17.1f} "
            f"{seconds:>15.1f} {_hours(seconds):>13}  {way.settings or 'no more settings'}"
        )


def _stages(outlook: Outlook, card: Card) -> Iterator[str]:
    yield f"memory      {'GiB':<34} {'main memory':>12} {card.name:>12}"
    for stage in outlook.chosen.stages:
        sizes = f"{stage.host / GIB:>12.1f} {stage.device / GIB:>12.1f}"
        yield f"            {stage.name:<34} {sizes}"
    most, size = outlook.chosen.device, "{} x {}".format(*outlook.size)
    fits = "it fits in" if most <= card.memory else "it does not fit in"
    yield f"            at {size} {fits} the {card.memory / GIB:.1f} GiB of the {card.name}"


def _time(outlook: Outlook, card: Card) -> Iterator[str]:
    seconds = outlook.chosen.work.seconds(card)
    yield from _wrap(
        "time",
        f"computed, not measured: {seconds:.1f} s a world step of one environment, "
        f"{_hours(seconds)} h for a thousand: {', '.join(_work(outlook.chosen.work, card))}",
    )
    rate = f"{card.share:.0%} of the {card.rate / 1e12:,.0f} TFLOP/s of its data sheet (bfloat16)"
    for line in (f"{rate}: {card.basis}", *outlook.notes):
        yield from _wrap("", line)
    fitting = outlook.fitting(card)
    if not fitting:
        yield f"cheapest    nothing that makes it smaller fits on the {card.name}"
        return
    yield from _wrap("cheapest", _way(fitting[0], card))
    least = min(fitting, key=lambda way: way.host)
    if least.host < fitting[0].host:
        yield from _wrap("", f"with less main memory {_way(least, card)}")


def _way(way: Way, card: Card) -> str:
    seconds = way.work.seconds(card)
    return (
        f"{way.settings or 'no more settings'}: {way.device / GIB:.1f} GiB on the {card.name}, "
        f"{way.host / GIB:.1f} GiB of main memory, {seconds:.1f} s a world step, "
        f"{_hours(seconds)} h for a thousand"
    )


def _wrap(head: str, text: str) -> list[str]:
    return textwrap.wrap(
        text,
        100,
        initial_indent=f"{head:<12}",
        subsequent_indent=" " * 12,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _work(work: Work, card: Card) -> Iterator[str]:
    """The addends, in words."""
    if work.flops:
        yield f"{count_flops(work.flops)} in 16 bits"
    if work.exact_flops:
        yield f"{count_flops(work.exact_flops)} of the autoencoder at half the rate (TF32)"
    if work.streamed:
        yield (
            f"{work.streamed / GIB:,.0f} GiB streamed meanwhile at {card.link / 1e9:.0f} GB/s "
            "(whichever takes longer counts)"
        )
    if work.moved:
        yield f"{work.moved / GIB:,.1f} GiB brought to the GPU at {card.link / 2e9:.1f} GB/s"
    if work.words:
        each = max(_WORD, work.read / card.bandwidth) * 1000
        yield f"{work.words} tokens written at {each:.0f} ms each"


def _hours(seconds: float) -> str:
    return f"{seconds / 3.6:,.1f}"


def count_flops(value: float) -> str:
    """Gives a number of floating-point operations with its unit."""
    for unit, size in (("PFLOP", 1e15), ("TFLOP", 1e12), ("GFLOP", 1e9)):
        if value >= size:
            return f"{value / size:,.3g} {unit}"
    return f"{value / 1e6:,.3g} MFLOP"


def say(settings: Mapping[str, Any], prefix: str = "model.") -> str:
    """Gives settings as they are written on the command line."""
    return " ".join(f"{prefix}{name}={str(value).lower()}" for name, value in settings.items())
