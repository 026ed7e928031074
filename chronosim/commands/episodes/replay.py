"""Runs logged episodes again from their own settings, and says where they come out differently.

The environment is made as the log says, reset with the episode's seed, and given its actions; the
words, frames, states, rewards and the end are compared step by step. On a processor like that of
the log all must be alike; where rounding differs (a GPU), give a tolerance. Of trajectories kept
as video the outcomes are compared, and the lengths. The exit status is 1 after a difference, or
where an episode is damaged or does not say how it was made; the others are run all the same. A log
names the classes to make: what no config file here names is refused.

Examples:
    chronosim episodes replay runs/thousand/episodes/0000003
    chronosim episodes replay runs/thousand tolerance=2
    chronosim episodes replay path=runs/thousand from_log=true
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from omegaconf import OmegaConf

from chronosim.cli.output import episodes_at
from chronosim.envs.chrono_env import ChronoEnv
from chronosim.envs.replay import first_difference
from chronosim.episodes import EpisodeReader
from chronosim.errors import InvalidEpisode
from chronosim.settings.commands import EpisodesReplay
from chronosim.settings.parts import make_part
from chronosim.settings.trust import check_parts
from chronosim.testing import ReplayModel

__all__ = ["run"]

_PARTS = ("model", "prompter", "scenario")


def run(settings: EpisodesReplay) -> int:
    """Runs the command.

    Returns:
        0; 1 where an episode came out differently, or could not be run again.

    Raises:
        ChronosimError: No episode there, or parts that cannot be made.
    """
    paths, worlds, alike, empty = episodes_at(settings.path), dict[str, ChronoEnv](), 0, 0
    for path in paths:
        try:
            reader = EpisodeReader(path)
            env = _world(reader, worlds, from_log=settings.from_log, trust=settings.trust)
            difference = first_difference(reader, env, tolerance=settings.tolerance)
        except InvalidEpisode as error:
            print(error)
            continue
        if difference is not None:
            print(f"{path.name}: {difference.sentence}{_changes(reader, env)}")
        elif reader.steps:
            print(f"{path.name}: {reader.steps} steps alike")
            alike += 1
        else:
            print(f"{path.name}: no steps to compare")
            empty += 1
    left = f"; {empty} had no steps to compare" if empty else ""
    print(f"{alike} of {len(paths)} episodes came out as they were logged{left}")
    return int(alike + empty < len(paths))


def _world(
    reader: EpisodeReader, worlds: dict[str, ChronoEnv], *, from_log: bool, trust: bool
) -> ChronoEnv:
    """The environment of an episode, made once for all that have the same settings."""
    settings = _settings(reader)
    key = json.dumps([settings[name] for name in (*_PARTS, "horizon")], sort_keys=True)
    if from_log:
        key = str(reader.path)
    if key not in worlds:
        logged = OmegaConf.create({name: settings[name] for name in _PARTS})
        if not trust:
            check_parts(logged, f"the log of {reader.path}")
        model = ReplayModel(str(reader.path)) if from_log else make_part(logged, "model")
        prompter, scenario = make_part(logged, "prompter"), make_part(logged, "scenario")
        worlds.clear()  # one model at a time: it may be large
        worlds[key] = ChronoEnv(model, prompter, scenario, horizon=settings["horizon"])
    return worlds[key]


def _settings(reader: EpisodeReader) -> Mapping[str, Any]:
    settings = reader.about.get("config")
    if not isinstance(settings, Mapping) or not {*_PARTS, "horizon"} <= set(settings):
        raise InvalidEpisode(
            f"the log of {reader.path} does not say of what settings it was made: only what "
            "chronosim rollout made can be run again"
        )
    return settings


def _changes(reader: EpisodeReader, env: ChronoEnv) -> str:
    """What else is different: of the model's identity, as far as both know it."""
    logged, ours = reader.about.get("model", {}), dict(env.simulator.model.identity)
    changed = [key for key in logged if key in ours and logged[key] != ours[key]]
    return f" (the model's {', '.join(changed)} differ from the log)" if changed else ""
