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

from tqdm import tqdm

from chronosim.bench.timing import describe_machine, list_versions
from chronosim.cli.output import new_folder
from chronosim.cli.terminal import faint
from chronosim.evaluation.conformance import check_conformance, draw_prompts
from chronosim.files import write_text
from chronosim.settings.commands import Check


def run(settings: Check) -> int:
    """Runs the command.

    Returns:
        1 if a check failed, else 0.

    Raises:
        ChronosimError: A setting that cannot work, or a model that cannot be had.
    """
    model, prompter = settings.model.make(), settings.prompter.make()
    scenario = settings.scenario.make()
    prompts = draw_prompts(scenario, prompter, settings.prompts, seed=settings.seed)
    folder = new_folder(settings.composed, "check")
    with tqdm(desc="checking", unit="check", leave=False) as bar:

        def begin(name: str) -> None:
            bar.set_description(f"checking {name}")
            bar.update()

        found = check_conformance(
            model,
            prompts,
            tolerance=settings.tolerance,
            steps=settings.steps,
            growth=settings.growth,
            progress=begin,
        )
    values = found.values() | {"versions": list_versions(), "machine": describe_machine()}
    text = json.dumps(values, indent=2, default=str)
    write_text(folder / "results.json", text + "\n")
    print(found)
    print(faint(f"\n{folder / 'results.json'}"))
    return 0 if found.passed else 1
