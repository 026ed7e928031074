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

from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from chronosim.cli.output import make_folder, new_folder, output_path, same_settings
from chronosim.cli.terminal import table
from chronosim.errors import InvalidConfig
from chronosim.frames import read_frame
from chronosim.models.engine.sizes import Sizing
from chronosim.seeds import generator
from chronosim.settings.compose import make_part, whole_number
from chronosim.types import Observation
from chronosim.whatif import LoggedMoment, Search, WhatIf, measure, read_moment, read_plans
from chronosim.whatif import run as run_what_if
from chronosim.world import World

__all__ = ["run"]

_MAY_DIFFER = ("apart", "at_once", "keep", "output")


def run(config: DictConfig) -> None:
    """Runs the command.

    Raises:
        ChronosimError: A moment, a plan or a setting that cannot work.
    """
    numbers = {name: whole_number(config, name, 1) for name in ("steps", "keep")}
    numbers["seed"] = whole_number(config, "seed", 0)
    at_once = None if config.at_once is None else whole_number(config, "at_once", 1)
    search = _search(config, numbers["steps"])
    plans = None if config.plans is None else read_plans(str(config.plans))
    parts = {name: make_part(config, name) for name in ("model", "prompter", "scenario")}
    world = World(**parts)
    start, policy = _start(config, world), _policy(config, search)
    folder = _folder(config)
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
            folder=folder,
            apart=config.apart,
            trajectories=config.trajectories,
            at_once=at_once,
            progress=progress,
            **numbers,
        )
        bar.total = bar.n  # a branch that ended early needed fewer
    _print(result, float(config.apart))
    print(f"\nIn {folder}: {', '.join(sorted(path.name for path in folder.glob('[!.]*')))}")


def _start(config: DictConfig, world: World) -> Observation | LoggedMoment:
    """Where the tree grows from."""
    prompter = world.prompter
    if config["from"] is not None:
        if config.frame is not None or config.start is not None:
            raise InvalidConfig("a what-if begins at from= or at frame=, not at both")
        episode = Path(str(config["from"])).expanduser()
        return read_moment(episode, whole_number(config, "at", 0), prompter)
    frame, values = None, None
    if config.frame is not None:
        frame = read_frame(Path(str(config.frame)).expanduser())
        frame = Sizing("fit").there(frame) if config.fit else frame
    if config.start is not None:
        start = config.start
        values = _values(OmegaConf.to_container(start) if OmegaConf.is_config(start) else start)
    return world.begin(generator(int(config.seed)), frame=frame, values=values)[0]


def _values(given: Any) -> dict[str, float]:
    if not isinstance(given, dict) or not all(isinstance(v, int | float) for v in given.values()):
        raise InvalidConfig(f"start must be named numbers, e.g. {{speed: 12}}, not {given!r}")
    return {str(name): float(value) for name, value in given.items()}


def _policy(config: DictConfig, search: Search | None) -> Any:
    """The policy that drives a branch; None: none does."""
    known = config.get("policy") is not None
    if config.follow and not known:
        raise InvalidConfig("there is no policy to follow: choose one with policy=")
    follow = (search is not None and known) if config.follow is None else config.follow
    return make_part(config, "policy") if follow else None


def _search(config: DictConfig, steps: int) -> Search | None:
    if config.search is None:
        return None
    if config.seek not in ("best", "worst"):
        raise InvalidConfig(f"seek must be best or worst, not {config.seek!r}")
    return Search(
        method=str(config.search),
        steps=steps,
        budget=whole_number(config, "budget", 1),
        population=whole_number(config, "population", 1),
        elites=whole_number(config, "elites", 2),
        worst=config.seek == "worst",
    )


def _folder(config: DictConfig) -> Path:
    """The folder for the results: a new one, or that of the same run broken off."""
    if config.output is not None and same_settings(config, output_path(config), _MAY_DIFFER):
        make_folder(config, output_path(config))
        return output_path(config)
    return new_folder(config, "whatif")


def _print(result: WhatIf, apart: float) -> None:
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
