"""A reference simulator that draws outcomes alone: drawing is what takes its time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from chronosim.adapters.simulators.reference import ReferenceSimulator
from chronosim.evaluation.truth.reference import Reference

__all__ = ["outcomes_only"]


def outcomes_only(reference: Reference) -> Reference:
    """Gives the same reference with trajectories of one frame, the outcome."""
    return replace(reference, simulator=partial(_coarse, reference.simulator))


def _coarse(make: Callable[[], ReferenceSimulator]) -> ReferenceSimulator:
    simulator = make()
    simulator.stride = simulator.hold
    return simulator
