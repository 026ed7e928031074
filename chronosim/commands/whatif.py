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

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from chronosim.cli.output import make_folder, new_folder, output_path, same_settings
from chronosim.cli.terminal import table
from chronosim.errors import EpisodeWriteError, InvalidConfig
from chronosim.frames import read_frame, write_frame
from chronosim.models.engine.sizes import Sizing
from chronosim.pictures.video import Track, frame_rate, montage, write_video
from chronosim.protocols import Scenario
from chronosim.settings.compose import make_part, whole_number
from chronosim.simulator import Simulator
from chronosim.types import Observation
from chronosim.whatif.grow import Grower, open_store
from chronosim.whatif.picture import Divergence, draw_tree, measure
from chronosim.whatif.plans import Logged, Plan, contrasts, read_moment, read_plans
from chronosim.whatif.search import Search
from chronosim.whatif.tree import Branch, Tree

__all__ = ["print_futures", "run", "write_futures"]

_LOGGED, _AGAIN = "as logged", "the same, imagined"
_LOAD = "chronosim.models.load"
_MAY_DIFFER = ("apart", "at_once", "keep", "output")


def run(config: DictConfig) -> None:
    """Runs the command.

    Raises:
        ChronosimError: A moment, a plan or a setting that cannot work.
    """
    steps, seed = whole_number(config, "steps", 1), whole_number(config, "seed", 0)
    keep, apart = whole_number(config, "keep", 1), _apart(config)
    search, given = _search(config, steps), _given(config)
    at_once = None if config.at_once is None else whole_number(config, "at_once", 1)
    world = _world(config, filmed=search is None)
    moment = _moment(config, world, max([steps, *map(len, given.values())]))
    folder = _folder(config)
    with (
        open_store(
            folder / "episodes",
            world.simulator,
            world.scenario,
            moment.root,
            seed=seed,
            lineage=moment.lineage or None,
        ) as store,
        tqdm(desc="what if", unit="prediction") as bar,
    ):
        grower = Grower(
            world.simulator,
            world.scenario,
            moment.root,
            seed=seed,
            seeds=moment.seeds,
            store=store,
            at_once=at_once,
            progress=bar.update,
        )
        first = _first(config, world, moment, given, steps, search)
        bar.reset(search.budget if search else sum(plan.steps for plan in first))
        shown = [grower.keep(_LOGGED, moment.steps, own=moment.own)] if moment.steps else []
        if search is None:
            shown += grower.grow(first)
        else:
            space = world.simulator.prompter.action_space
            tried = search.run(grower, space, seed=seed, first=first)
            shown += search.best(tried, keep)
        bar.total = bar.n  # a branch that ended early needed fewer
    tree = Tree(moment.root, tuple(shown))
    pace = world.simulator.prompter.seconds_per_step
    whole = grower.tree
    print_futures(tree, apart, tried=len(whole), asked=grower.asked, needed=whole.predictions)
    write_futures(tree, folder, apart=apart, seconds_per_step=pace)
    print(f"\nIn {folder}: {', '.join(sorted(path.name for path in folder.glob('[!.]*')))}")


@dataclass(frozen=True, slots=True)
class _World:
    simulator: Simulator
    scenario: Scenario


def _world(config: DictConfig, *, filmed: bool) -> _World:
    """The world; its model decodes no frames on the way where nobody will see them."""
    more = {}
    wanted = filmed if config.trajectories is None else bool(config.trajectories)
    if str(config.model.get("_target_")) == _LOAD and not wanted:
        more["decode_trajectory"] = False
    simulator = Simulator(make_part(config, "model", **more), make_part(config, "prompter"))
    return _World(simulator, make_part(config, "scenario"))


def _moment(config: DictConfig, world: _World, steps: int) -> Logged:
    """Where the tree grows from."""
    if config["from"] is not None:
        if config.frame is not None or config.start is not None:
            raise InvalidConfig("a what-if begins at from= or at frame=, not at both")
        at = whole_number(config, "at", 0)
        return read_moment(Path(str(config["from"])).expanduser(), at, steps, world.simulator)
    prompter = world.simulator.prompter
    values: Mapping[str, float] = {}
    if config.frame is None:
        frame, values = world.scenario.begin(np.random.default_rng(int(config.seed)))
    else:
        frame = read_frame(Path(str(config.frame)).expanduser())
        frame = Sizing("fit").there(frame) if config.fit else frame
    if config.start is not None:
        start = config.start
        values = _values(OmegaConf.to_container(start) if OmegaConf.is_config(start) else start)
    return Logged(Observation(frame, prompter.begin(values)), (), (), own=True, lineage={})


def _values(given: Any) -> dict[str, float]:
    if not isinstance(given, dict) or not all(isinstance(v, int | float) for v in given.values()):
        raise InvalidConfig(f"start must be named numbers, e.g. {{speed: 12}}, not {given!r}")
    return {str(name): float(value) for name, value in given.items()}


def _given(config: DictConfig) -> dict[str, list[Any]]:
    plans = {} if config.plans is None else read_plans(str(config.plans))
    for name in (_LOGGED, _AGAIN):
        if name in plans:
            raise InvalidConfig(f"a plan cannot be called {name!r}: that is the log's own branch")
    return plans


def _first(
    config: DictConfig,
    world: _World,
    moment: Logged,
    given: Mapping[str, list[Any]],
    steps: int,
    search: Search | None,
) -> list[Plan]:
    """The plans that are played out first: all there are, where nothing is searched for."""
    plans = dict(given)
    if not plans and search is None:
        plans = _contrasts(config, world.simulator, steps)
    if moment.steps and not moment.own:
        plans = {_AGAIN: [step.action for step in moment.steps], **plans}
    first = [Plan.of(name, actions) for name, actions in plans.items()]
    policy = config.get("policy")
    if config.follow or (config.follow is None and search is not None and policy is not None):
        if policy is None:
            raise InvalidConfig("there is no policy to follow: choose one with policy=")
        name = str(policy.get("_target_")).rpartition(".")[2]
        first.append(Plan.following(name, make_part(config, "policy"), steps))
    return first


def _contrasts(config: DictConfig, simulator: Simulator, steps: int) -> dict[str, list[Any]]:
    """Plans that differ clearly, each one action held: the config's own, or the space's ends."""
    module = str(config.prompter.get("_target_")).split(".")[-2:-1]
    held = OmegaConf.to_container(config.contrasts, resolve=True)
    if not isinstance(held, dict) or not module or module[0] not in held:
        return contrasts(simulator.prompter.action_space, steps)
    return {str(name): [action] * steps for name, action in held[module[0]].items()}


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


def _apart(config: DictConfig) -> float:
    apart: Any = config.apart
    if isinstance(apart, bool) or not isinstance(apart, int | float) or not 0 < apart <= 255:
        raise InvalidConfig(f"apart must be a number of grey levels above 0, not {apart!r}")
    return float(apart)


def _folder(config: DictConfig) -> Path:
    """The folder for the results: a new one, or that of the same run broken off."""
    if config.output is not None and same_settings(config, output_path(config), _MAY_DIFFER):
        make_folder(config, output_path(config))
        return output_path(config)
    return new_folder(config, "whatif")


def print_futures(tree: Tree, apart: float, *, tried: int, asked: int, needed: int) -> None:
    """Prints a line for each branch: its score, and how far it is from the first, step by step.

    Args:
        tree: The branches to show, the first being what the others are compared with.
        apart: RMS grey levels from which two frames count as different.
        tried: Branches that there are in all.
        asked: Predictions that the model was asked for.
        needed: Predictions that the branches consist of.
    """
    divergence, name = measure(tree), tree.branches[0].name
    steps = [f"step {step}" for step in range(1, tree.depth + 1)]
    rows = [
        (branch.name, branch.score, _end(branch), _parts(divergence, row, apart), *rms)
        for row, (branch, rms) in enumerate(zip(tree.branches, divergence.rms[0], strict=True))
    ]
    print(f"\nHow far from {name!r}, RMS grey levels after each step:\n")
    print(table(("branch", "score", "end", f"parts (>= {apart:g})", *steps), rows))
    more = f"{len(tree)} of {tried} plans shown; " if tried > len(tree) else ""
    print(f"\n{more}{needed} predictions, {asked} of them made now")


def write_futures(
    tree: Tree, folder: Path, *, apart: float, seconds_per_step: float | None
) -> None:
    """Writes tree.png, tree.mp4, tree.json and divergence.csv.

    Args:
        tree: At least one branch with a step.
        folder: Where to.
        apart: RMS grey levels from which two frames count as different.
        seconds_per_step: How long an action is held; None where the model has no clock.

    Raises:
        EpisodeWriteError: The disk refuses.
    """
    write_frame(
        folder / "tree.png", draw_tree(tree, apart=apart, seconds_per_step=seconds_per_step)
    )
    _film(tree, folder / "tree.mp4", seconds_per_step)
    divergence = measure(tree)
    try:
        text = json.dumps(_figures(tree, divergence, apart), indent=2, allow_nan=False)
        (folder / "tree.json").write_text(text + "\n", encoding="utf-8")
        with (folder / "divergence.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("branch", "other", "step", "rms_grey_levels", "psnr_db"))
            writer.writerows(divergence.rows())
    except OSError as error:
        raise EpisodeWriteError(f"the figures could not be written to {folder}: {error}") from error


def _film(tree: Tree, path: Path, seconds_per_step: float | None) -> None:
    """All branches side by side, from the same moment on."""
    tracks = [
        Track(tree.root, branch.steps, _rate(branch, seconds_per_step), branch.name)
        for branch in tree.branches
    ]
    fastest = max(track.rate for track in tracks)
    write_video(montage(tracks, fastest), path, fastest)


def _rate(branch: Branch, seconds_per_step: float | None) -> Any:
    length = len(branch.steps[0].prediction.trajectory) if branch.steps else 1
    return frame_rate(seconds_per_step, length)


def _end(branch: Branch) -> str:
    return f"ended at {len(branch.steps)}" if branch.ended else ""


def _parts(divergence: Divergence, row: int, apart: float) -> str | None:
    first = divergence.first(0, row, apart)
    return None if first is None else f"step {first}"


def _figures(tree: Tree, divergence: Divergence, apart: float) -> dict[str, Any]:
    """The figures of a tree as JSON values."""
    return {
        "apart": apart,
        "branches": [
            {
                "name": branch.name,
                "score": None if math.isnan(branch.score) else branch.score,
                "ended": branch.ended,
                "rewards": [step.reward for step in branch.steps],
                "actions": [np.asarray(action).tolist() for action in branch.actions],
                "words": [step.text for step in branch.steps],
                "shares": tree.split(row)[1],
                "with": _name(tree, tree.split(row)[0]),
                "parts_from": {
                    other.name: divergence.first(row, index, apart)
                    for index, other in enumerate(tree.branches)
                    if index != row
                },
            }
            for row, branch in enumerate(tree.branches)
        ],
    }


def _name(tree: Tree, index: int | None) -> str | None:
    return None if index is None else tree.branches[index].name
