"""What an episode says about the world it happened in."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from chronosim.protocols import Scenario
from chronosim.simulator import Simulator

__all__ = ["about_world"]


def about_world(
    simulator: Simulator,
    scenario: Scenario,
    *,
    seed: int | None,
    lineage: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Gives the `about` of an episode in a world model, in JSON values.

    Args:
        simulator: Its model and prompter. A model's identity names its weights and LoRAs.
        scenario: Where it began and what counted.
        seed: Of the reset; None if none was given.
        lineage: Of a fork: the `episode` it comes from, at which `step`, and which `branch` of that
            episode it is, counted from 1.
    """
    return {
        "source": "chronosim",
        "version": version("chronosim"),
        "synthetic": True,
        "model": dict(simulator.model.identity),
        "prompter": repr(simulator.prompter),
        "scenario": repr(scenario),
        "seconds_per_step": simulator.prompter.seconds_per_step,
        "seed": seed,
        "lineage": None if lineage is None else dict(lineage),
    }
