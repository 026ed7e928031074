"""Plays several plans out from one moment and shows how their futures part.

All branches meet the same noise, so they differ by their actions alone; plans that begin alike
share what they have in common. It leaves a picture of the tree, a film of its branches side by
side, a table of how far they are apart, and a data set with an episode for each branch. The moment
is a first frame of the scenario, a frame of yours (frame=), or any step of a logged episode (from=
and at=: what if it had done otherwise?). With search= it looks for the plans that the scenario
scores highest, or lowest. Broken off, the same command with the same output= goes on.

Examples:
    chronosim whatif
    chronosim whatif search=cem budget=200 seed=3
    chronosim whatif from=runs/mine/episodes/0000000 at=12 plans=my_plans.yaml output=runs/otherwise
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tqdm import tqdm

from chronosim.cli.output import make_folder, new_folder, output_path, same_settings
from chronosim.cli.terminal import table
from chronosim.errors import InvalidConfig
from chronosim.files import user_path
from chronosim.frames import read_frame
from chronosim.models.engine.sizes import Sizing
from chronosim.seeds import generator
from chronosim.settings.commands import WhatIf as Settings
from chronosim.settings.parts import waits_for_frame
from chronosim.types import Observation
from chronosim.whatif import LoggedMoment, Search, WhatIfResult, measure, read_moment, read_plans
from chronosim.whatif import run as run_what_if
from chronosim.world import World

_MAY_DIFFER = ("apart", "at_once", "keep", "output")


def run(settings: Settings) -> None:
    """Runs the command.

    Raises:
        ChronosimError: A moment, a plan or a setting that cannot work.
    """
    search = _search(settings)
    plans = None if settings.plans is None else read_plans(settings.plans)
    start, world = _start(settings)
    policy, folder = _policy(settings), _folder(settings)
    with tqdm(desc="what if", unit="prediction") as bar:

        def progress(done: int, most: int) -> None:
            bar.total = most
            bar.update(done - bar.n)

        result = run_what_if(
            world,
            plans,
            start=start,
            policy=policy,
            search=search,
            steps=settings.steps,
            keep=settings.keep,
            seed=settings.seed,
            folder=folder,
            apart=settings.apart,
            trajectories=settings.trajectories,
            at_once=settings.at_once,
            progress=progress,
        )
        bar.total = bar.n  # a branch that ended early needed fewer
    _print(result, settings.apart)
    print(f"\nIn {folder}: {', '.join(sorted(path.name for path in folder.glob('[!.]*')))}")


def _start(settings: Settings) -> tuple[Observation | LoggedMoment, World]:
    """The moment that the tree grows from, and the world."""
    own = settings.frame
    if settings.from_ is not None and (own is not None or settings.start is not None):
        raise InvalidConfig("a what-if begins at from= or at frame=, not at both")
    waits = own is not None and waits_for_frame(settings.scenario.values)
    scenario = settings.scenario.make(**{"frame": own} if waits else {})
    world = World(settings.model.make(), settings.prompter.make(), scenario)
    if settings.from_ is not None:
        episode = user_path(settings.from_)
        return read_moment(episode, settings.at, world.prompter), world
    frame = None if own is None or waits else read_frame(user_path(own))
    if frame is not None and settings.fit:
        frame = Sizing("fit").there(frame)
    begun = world.begin(generator(settings.seed), frame=frame, values=settings.start)
    return begun[0], world


def _policy(settings: Settings) -> Any:
    """The policy that drives a branch; None: none does."""
    follow = settings.follow
    if settings.policy is None:
        if follow:
            raise InvalidConfig("there is no policy to follow: choose one with policy=")
        return None
    follow = settings.search is not None if follow is None else follow
    return settings.policy.make() if follow else None


def _search(settings: Settings) -> Search | None:
    if settings.search is None:
        return None
    return Search(
        method=settings.search,
        steps=settings.steps,
        budget=settings.budget,
        population=settings.population,
        elites=settings.elites,
        worst=settings.seek == "worst",
    )


def _folder(settings: Settings) -> Path:
    """The folder for the results: a new one, or that of the same run broken off."""
    config = settings.composed
    if config.output is not None and same_settings(config, output_path(config), _MAY_DIFFER):
        make_folder(config, output_path(config))
        return output_path(config)
    return new_folder(config, "whatif")


def _print(result: WhatIfResult, apart: float) -> None:
    """Prints a line for each branch: its score, and how far it is from the first, step by step."""
    tree, divergence = result.tree, measure(result.tree)
    rows = []
    for row, branch in enumerate(tree.branches):
        first = divergence.first(0, row, apart)
        parts = None if first is None else f"step {first}"
        end = f"ended at {len(branch.steps)}" if branch.ended else ""
        rows.append((branch.name, branch.score, end, parts, *divergence.rms[0, row]))
    head = ["branch", "score", "end", f"parts (>= {apart:g})"]
    head += [f"step {step}" for step in range(1, tree.depth + 1)]
    print(f"\nHow far from {tree.branches[0].name!r}, RMS grey levels after each step:\n")
    print(table(head, rows))
    more = f"{len(tree)} of {result.tried} plans shown; " if result.tried > len(tree) else ""
    print(f"\n{more}{result.predictions} predictions, {result.asked} of them made now")
