"""What `chronosim evaluate` judges by, made of its settings."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from chronosim.adapters.policies.random import RandomPolicy
from chronosim.adapters.simulators.reference import check_clock
from chronosim.commands.finding import dataset_at, place
from chronosim.commands.settings import make_part, whole_number, with_seed
from chronosim.episodes import list_episodes
from chronosim.errors import InvalidConfig
from chronosim.evaluation.evidence import Evidence
from chronosim.evaluation.outcomes.outcomes import Setting
from chronosim.evaluation.truth.reference import Reference
from chronosim.evaluation.truth.sources import AsLogged, Recorded, Simulated
from chronosim.simulator import Simulator

__all__ = ["make_evidence", "make_reference"]

_LEAST = {
    "windows": 2,  # one half of them moves
    "rollouts": 2,  # the mean frame is that of the others
    "rollout_steps": 1,
    "others": 1,
    "workers": 1,
    "first_seed": 0,
    "seed": 0,
}


def make_evidence(config: DictConfig) -> Evidence:
    """Makes the model and the source of truth; nothing is computed yet, and no folder made.

    Raises:
        ChronosimError: A setting that cannot work, a missing simulator, or a model that fails.
    """
    numbers = {name: whole_number(config, name, least) for name, least in _LEAST.items()}
    nowhere = Path()  # until the folder is made: after everything that can be refused
    if config.episodes is not None:
        dataset = dataset_at(place(config.episodes))
        recorded = Recorded(
            str(config.episodes),
            list_episodes(dataset),
            windows=numbers["windows"],
            rollouts=numbers["rollouts"],
            steps=numbers["rollout_steps"],
        )
        model = Simulator(make_part(config, "model"), AsLogged())
        return Evidence(nowhere, model, recorded, seed=numbers["seed"])
    apart, reference, model_ = _apart(config), make_reference(config), make_part(config, "model")
    setting = Setting(
        _check(reference), numbers["first_seed"], numbers["others"], apart, reference.left_out
    )
    simulated = Simulated(
        reference,
        setting,
        numbers["windows"],
        numbers["rollouts"],
        numbers["rollout_steps"],
        numbers["workers"],
    )
    simulator = Simulator(model_, reference.prompter)
    return Evidence(nowhere, simulator, simulated, seed=numbers["seed"])


def make_reference(config: DictConfig) -> Reference:
    """Makes the reference simulator's parts, to be drawn from by several processes.

    Raises:
        ChronosimError: One cannot be made.
    """
    # Worker processes get the settings as text: a part that follows the seed must not be made yet.
    make = partial(_make, OmegaConf.to_yaml(config))
    return Reference(
        simulator=partial(make, "simulator"),
        prompter=make_part(config, "prompter"),
        policy=partial(make, "policy"),
        alternatives=partial(make, "alternatives"),
        left_out=make_part(config, "left_out"),
    )


def _make(settings: str, name: str, seed: int | None = None) -> Any:
    """Makes a part, with a seed of its own if it has one."""
    config = DictConfig(OmegaConf.create(settings))
    if name == "alternatives" and config.alternatives is None:
        return RandomPolicy(make_part(config, "prompter"), seed or 0)
    return make_part(config if seed is None else with_seed(config, seed), name)


def _apart(config: DictConfig) -> float:
    apart: Any = config.apart
    if isinstance(apart, bool) or not isinstance(apart, int | float) or not 0 <= apart < math.inf:
        raise InvalidConfig(f"apart must be a number of grey levels, 0 or more, not {apart!r}")
    return float(apart)


def _check(reference: Reference) -> str:
    """Makes every part once, so that what is wrong is one sentence here; gives the source."""
    simulator = reference.simulator()
    reference.policy(0)
    reference.alternatives(0)
    check_clock(simulator, reference.prompter)
    return simulator.source
