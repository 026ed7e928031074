"""Calibrates a drift guard: what tells an environment that a frame has left the world.

It learns from half of a data set's true episodes what frames of this world look like (colours, and
how rough they are at three scales), sets its limit on a quarter of them, and is judged on the last
quarter: how often it calls a true frame lost, and how often it misses frames that are broken on
purpose, or are of another world. With through=nano what nano's autoencoder makes of true frames
counts as true as well: its pictures are softer, and not lost for that. An environment takes the
file as guard=...; it then truncates an episode once a frame is lost, with "drift" as the reason.
The guard of CarRacing is in the box (guard="carracing"): it was made so, through nano.

Examples:
    chronosim guard datasets/carracing through=nano output=carracing.npz
    chronosim guard datasets/mine strangers=datasets/carracing false_alarms=0.05
    chronosim guard datasets/mine episodes=1000 output=mine.npz --force
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from omegaconf import DictConfig
from tqdm import tqdm

from chronosim.cli.output import check_free, output_path
from chronosim.envs.guard import DriftGuard
from chronosim.episodes import EpisodeReader, list_episodes
from chronosim.errors import InvalidConfig
from chronosim.evaluation.alarms import Alarms, count_alarms, count_cut
from chronosim.evaluation.predictions import Autoencoding, see_through
from chronosim.evaluation.report.section import Table
from chronosim.models.loading.load import load
from chronosim.settings.compose import whole_number
from chronosim.types import Frame

__all__ = ["run"]

_STRANGERS = 20  # episodes of another world
_EVERY = 8  # of the frames, the one that is looked at as it is and through a model

Film = UInt8[np.ndarray, "_ _ _ 3"]


def run(config: DictConfig) -> None:
    """Runs the command.

    Raises:
        ChronosimError: A data set that is none or too small, or a setting that cannot work.
    """
    limit, false_alarms = whole_number(config, "episodes", 4), _share(config)
    output = Path("guard.npz") if config.output is None else output_path(config)
    if output.suffix != ".npz":
        raise InvalidConfig(f"a guard is an .npz with a .json beside it: not output={output}")
    for path in (output, output.with_suffix(".json")):
        check_free(path, config.force)
    model = None if config.through is None else _autoencoding(str(config.through))
    episodes = _read(str(config.path), limit)
    quarter, wanted = len(episodes) // 4, math.ceil(1 / false_alarms)
    if quarter < wanted:
        raise InvalidConfig(
            f"{len(episodes)} episodes are too few: a quarter of them sets the limit, and false "
            f"alarms in {false_alarms:.1%} of those can be shown from {4 * wanted} episodes on; "
            "give more, or allow more with false_alarms="
        )
    learnt, held_out = episodes[: -2 * quarter], episodes[-2 * quarter : -quarter]
    about = (
        f"true frames of {config.path}: {len(learnt)} episodes to learn from, {len(held_out)} for "
        f"the limit ({false_alarms:.1%} of them)"
    )
    if model is not None:
        learnt, held_out = _with_shown(model, learnt), _with_shown(model, held_out)
        about += f", as they are and through {config.through}'s autoencoder"
    guard = DriftGuard.fit(learnt, held_out, false_alarms=false_alarms, about=about)
    others = [] if config.strangers is None else _read(str(config.strangers), _STRANGERS)
    strangers = [frame for episode in others for frame in episode if frame.shape[:2] == guard.size]
    judged = episodes[-quarter:]
    found = [count_cut(guard, judged), *count_alarms(guard, judged, strangers)]
    guard.save(output)
    values = {"limit": guard.limit, "about": about, "alarms": [_values(each) for each in found]}
    output.with_suffix(".json").write_text(json.dumps(values, indent=2) + "\n")
    print(f"{_table(found, quarter).markdown()}\n\nguard   {output}, what it is worth beside it")


def _autoencoding(name: str) -> Autoencoding:
    model = load(name)
    if not isinstance(model, Autoencoding):
        raise InvalidConfig(f"{name} has no autoencoder to see frames through: leave through= out")
    return model


def _with_shown(model: Autoencoding, episodes: Sequence[Film]) -> list[Film]:
    """Some frames of each episode, and as many that the model's autoencoder makes of them."""
    return [
        np.stack([frame for pair in _pairs(episode) for frame in _both(model, *pair)])
        for episode in tqdm(episodes, "autoencoding", unit="episode")
    ]


def _pairs(episode: Film) -> list[tuple[Frame, Frame]]:
    return list(zip(episode[:-1:_EVERY], episode[1::_EVERY], strict=False))


def _both(model: Autoencoding, before: Frame, after: Frame) -> tuple[Frame, Frame]:
    return after, see_through(model, before, after)


def _read(path: str, most: int) -> list[Film]:
    episodes = [reader for reader in map(EpisodeReader, list_episodes(path)) if reader.steps]
    if len(episodes) < 4:
        raise InvalidConfig(f"a guard needs at least 4 episodes of {path}, not {len(episodes)}")
    spread = np.linspace(0, len(episodes) - 1, min(most, len(episodes))).round().astype(int)
    return [
        np.asarray(episodes[index].frames[:])
        for index in tqdm(spread, f"reading {path}", unit="episode")
    ]


def _share(config: DictConfig) -> float:
    share: Any = config.false_alarms
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
        raise InvalidConfig(f"false_alarms must lie between 0 and 1, not {share!r}")
    return float(share)


def _values(each: Alarms) -> dict[str, Any]:
    return {"kind": each.kind, "alarms": each.alarms, "of": each.of, "share": each.share}


def _table(found: Sequence[Alarms], episodes: int) -> Table:
    rows = tuple(
        (
            each.kind,
            f"{each.alarms} of {each.of}",
            f"{each.share:.1%} ({each.interval[0]:.1%} to {each.interval[1]:.1%})",
        )
        for each in found
    )
    caption = (
        f"What was called lost, of {episodes} episodes that the guard never saw. Alarms on what is "
        "true are false; one cuts an episode, and those of one episode come together, so that the "
        "interval over frames is too narrow. What is missing to 100% below them are misses."
    )
    return Table(("what", "called lost", "share (95%)"), rows, caption)
