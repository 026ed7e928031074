"""Runs a world model through the conformance suite: its contract, and whether it is honest.

Contract, determinism, a prompt alone as in a batch, seeds, whether anything moves and the words
matter, whether the trajectory is the way to the outcome, latency, and memory over 500 steps. A
model behind a URL is checked alike (model=remote). Each check is a line with its number; the exit
status is 1 if one fails. The same figures are kept as JSON.

Examples:
    chronosim check
    chronosim check model=remote model.url=http://127.0.0.1:8765 steps=100
    chronosim check model=chronoedit-14b-turbo tolerance=3 prompts=4 steps=0
"""

from __future__ import annotations

import json
import math
import textwrap
from typing import Any

import numpy as np
from omegaconf import DictConfig
from tqdm import tqdm

from chronosim.bench.timing import describe_machine, list_versions
from chronosim.cli.output import new_folder
from chronosim.cli.terminal import faint
from chronosim.errors import InvalidConfig
from chronosim.evaluation.conformance import Conformance, check_conformance
from chronosim.protocols import Prompter, Scenario
from chronosim.settings.compose import make_part, whole_number
from chronosim.types import EditPrompt, Observation

__all__ = ["run"]

_DRAWS = 100  # until two prompts differ


def run(config: DictConfig) -> int:
    """Runs the command.

    Returns:
        1 if a check failed, else 0.

    Raises:
        ChronosimError: A setting that cannot work, or a model that cannot be had.
    """
    number, seed = whole_number(config, "prompts", 2), whole_number(config, "seed", 0)
    steps = whole_number(config, "steps", 0)
    tolerance, growth = _amount(config, "tolerance"), _amount(config, "growth")
    model, prompter = make_part(config, "model"), make_part(config, "prompter")
    prompts = _prompts(make_part(config, "scenario"), prompter, number, seed)
    folder = new_folder(config, "check")
    with tqdm(desc="checking", unit="check", leave=False) as bar:

        def begin(name: str) -> None:
            bar.set_description(f"checking {name}")
            bar.update()

        found = check_conformance(
            model, prompts, tolerance=tolerance, steps=steps, growth=growth, progress=begin
        )
    values = found.values() | {"versions": list_versions(), "machine": describe_machine()}
    text = json.dumps(values, indent=2, default=str)
    (folder / "results.json").write_text(text + "\n", encoding="utf-8")
    print(_text(found))
    print(faint(f"\n{folder / 'results.json'}"))
    return 0 if found.passed else 1


def _prompts(scenario: Scenario, prompter: Prompter, number: int, seed: int) -> list[EditPrompt]:
    """Beginnings of episodes with random actions, the second of which says what the first does not.

    Few choices are drawn alike by chance, and nobody can tell by them whether words are heard.
    """
    space = prompter.action_space
    space.seed(seed)
    prompts: list[EditPrompt] = []
    for index in range(number):
        frame, values = scenario.begin(np.random.default_rng(seed + index))
        observation = Observation(frame, prompter.begin(values))
        text, _ = prompter(observation, space.sample())
        for _ in range(_DRAWS if index == 1 else 0):
            if text != prompts[0].text:
                break
            text, _ = prompter(observation, space.sample())
        prompts.append(EditPrompt(frame, text, seed + index))
    return prompts


def _amount(config: DictConfig, name: str) -> float:
    value: Any = config[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise InvalidConfig(f"{name} must be a number of 0 or more, not {value!r}")
    return float(value)


def _text(found: Conformance) -> str:
    """The table, each line's sentence wrapped beside its number."""
    rows = found.table.rows
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = []
    for row in rows:
        head = "  ".join(cell.ljust(width) for cell, width in zip(row[:3], widths, strict=True))
        first, *rest = textwrap.wrap(row[3], 100 - len(head)) or [""]
        lines += [f"{head}  {first}", *(f"{' ' * len(head)}  {line}" for line in rest)]
    failed = [check.name for check in found.checks if check.passed is False]
    name = found.identity.get("name")
    end = f"{name} fails: {', '.join(failed)}." if failed else f"{name} conforms."
    return "\n".join([*lines, "", end])
