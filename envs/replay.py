"""Runs a logged episode again, action by action, and finds where it comes out differently."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chronosim.envs.chrono_env import ChronoEnv
from chronosim.episodes import EpisodeReader
from chronosim.episodes.place import Place, as_place
from chronosim.errors import InvalidEpisode
from chronosim.settings.parts import check_kind, make
from chronosim.settings.trust import check_parts, find_requests
from chronosim.testing import ReplayModel
from chronosim.types import Prediction, Step

_PARTS = ("model", "prompter", "scenario")


@dataclass(frozen=True, slots=True)
class Difference:
    """Where an episode run again first leaves its log.

    Attributes:
        step: Which step; -1: the first observation.
        what: `first frame`, `frames`, `text`, `state`, `reward`, `end`, or `length`.
        by: How much: grey levels of the worst pixel, units of the state or the reward; 0 for words.
        sentence: The same for people.
    """

    step: int
    what: str
    by: float
    sentence: str


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of an episode that was run again.

    Attributes:
        path: The episode.
        steps: That it has.
        problem: Where it came out differently, or why it could not be run again; None: it came out
            as it was logged.
    """

    path: Place
    steps: int
    problem: str | None


def run_again(
    paths: Sequence[str | Path | Place],
    *,
    tolerance: float = 0.0,
    from_log: bool = False,
    trust: bool = False,
    say: Callable[[str], None] = print,
) -> Iterator[Replayed]:
    """Runs logged episodes again, each in a world made of its own settings.

    A log may make what stands on a list (`chronosim.settings.trust`), with the settings listed.

    Args:
        paths: The episodes.
        tolerance: As for `first_difference`.
        from_log: Whether the log answers for the model: checks all the rest, quickly.
        trust: Whether a log may make anything: classes of its own, remote models, files anywhere.
        say: Told first what a trusted log will do beyond the list.

    Yields:
        What came of each, as it ends; a damaged one does not stop the others.

    Raises:
        InvalidConfig: A log asks for more than is on the list, or for what cannot be made.
        ChronosimError: No episode there, or a model that fails.
    """
    known: tuple[str, ChronoEnv] | None = None  # one model at a time: it may be large
    for path in paths:
        steps = 0
        try:
            reader = EpisodeReader(path)
            steps = reader.steps
            key, settings = _settings(reader, from_log=from_log)
            if known is None or known[0] != key:
                known = None
                known = key, _world(reader, settings, from_log=from_log, trust=trust, say=say)
            found = first_difference(reader, known[1], tolerance=tolerance)
            changed = "" if found is None else _changes(reader, known[1])
            problem = None if found is None else f"{reader.path.name}: {found.sentence}{changed}"
        except InvalidEpisode as error:
            problem = str(error)
        yield Replayed(as_place(path), steps, problem)


def _settings(reader: EpisodeReader, *, from_log: bool) -> tuple[str, Mapping[str, Any]]:
    """The settings that an episode was made of; and what tells whether two are of one world."""
    settings = reader.about.get("config")
    if not isinstance(settings, Mapping) or not {*_PARTS, "horizon"} <= set(settings):
        raise InvalidEpisode(
            f"the log of {reader.path} does not say of what settings it was made: only what "
            "chronosim rollout made can be run again"
        )
    horizon = settings["horizon"]
    if horizon is not None and (type(horizon) is not int or horizon < 1):
        raise InvalidEpisode(f"the log of {reader.path} has a horizon of {horizon!r}")
    own = [settings[name] for name in (*_PARTS, "horizon")]
    return str(reader.path) if from_log else json.dumps(own, sort_keys=True), settings


def _world(
    reader: EpisodeReader,
    settings: Mapping[str, Any],
    *,
    from_log: bool,
    trust: bool,
    say: Callable[[str], None],
) -> ChronoEnv:
    """The environment that an episode was made in."""
    whose = f"the log of {reader.path}"
    wanted = {name: settings[name] for name in _PARTS if not (from_log and name == "model")}
    local = isinstance(reader.path, Path)
    root = Path(str(reader.path)).resolve().parent if local else None
    if not trust:
        check_parts(wanted, whose, root)
    elif requests := list(find_requests(wanted, root)):
        say("\n".join([f"Trusted, {whose} does more than a log may:", *map(str, requests)]))
    model = ReplayModel(str(reader.path)) if from_log else _made(settings, "model")
    prompter, scenario = _made(settings, "prompter"), _made(settings, "scenario")
    return ChronoEnv(model, prompter, scenario, horizon=settings["horizon"])


def _made(settings: Mapping[str, Any], name: str) -> Any:
    return check_kind(make(settings[name], name), name)


def _changes(reader: EpisodeReader, env: ChronoEnv) -> str:
    """What else is different: of the model's identity, as far as both know it."""
    logged, ours = reader.about.get("model"), dict(env.world.model.identity)
    told = logged if isinstance(logged, Mapping) else {}
    changed = [key for key in told if key in ours and told[key] != ours[key]]
    return f" (the model's {', '.join(changed)} differ from the log)" if changed else ""


def first_difference(
    reader: EpisodeReader, env: ChronoEnv, *, tolerance: float = 0.0
) -> Difference | None:
    """Resets an environment with an episode's seed and takes its actions, as long as all is alike.

    Args:
        reader: The episode; its log says its `seed`.
        env: An environment made as the episode's was.
        tolerance: Grey levels by which a pixel, and units by which a reward or a commanded state,
            may differ. 0: exactly alike, as the same processor gives it.

    Returns:
        The first difference; None if there is none.

    Raises:
        InvalidEpisode: The log does not say how it began, as it does not of a fork, or of a stretch
            that a repair found behind a gap.
        ChronosimError: As `ChronoEnv.reset` and `ChronoEnv.step`.
    """
    seed, lineage = reader.about.get("seed"), reader.about.get("lineage")
    if type(seed) is not int or not 0 <= seed < 2**63 or lineage is not None:
        why = "its seed is not in its log" if lineage is None else f"it is a fork of {lineage}"
        raise InvalidEpisode(f"{reader.path} cannot be run again from its beginning: {why}")
    repaired = reader.about.get("repaired")
    if isinstance(repaired, Mapping) and repaired.get("step"):
        raise InvalidEpisode(
            f"{reader.path} cannot be run again from its beginning: it begins at step "
            f"{repaired['step']} of {repaired.get('episode')}, behind a gap"
        )
    env.reset(seed=seed)
    found = _begun_differently(reader, env, tolerance)
    for index in range(reader.steps):
        if found is not None:
            return found
        logged = reader.step(index)
        env.step(logged.action)
        again = env.last_step
        assert again is not None  # it was taken just now
        found = _difference(index, logged, again, tolerance, video=reader.trajectories == "video")
        if found is None and again.ended and index + 1 < reader.steps:
            sentence = f"step {index} ends the episode, but its log goes on to {reader.steps} steps"
            return Difference(index, "end", 0.0, sentence)
    return found


def _begun_differently(
    reader: EpisodeReader, env: ChronoEnv, tolerance: float
) -> Difference | None:
    first, ours = reader.observation(0), env.observation
    frames = _grey_levels(first.frame[None], ours.frame[None])
    if frames > tolerance:
        sentence = f"the first frames differ by up to {frames:g} grey levels"
        return Difference(-1, "first frame", frames, sentence)
    state = _units(first.state, ours.state)
    if state > tolerance:
        sentence = f"the first commanded states differ by up to {state:g}"
        return Difference(-1, "state", state, sentence)
    return None


def _difference(
    index: int, logged: Step, again: Step, tolerance: float, *, video: bool
) -> Difference | None:
    if logged.text != again.text:
        sentence = f"step {index} was worded {logged.text!r}, and now is {again.text!r}"
        return Difference(index, "text", 0.0, sentence)
    frames = _grey_levels(*_comparable(logged.prediction, again.prediction, video))
    if frames > tolerance:
        mean = np.abs(logged.after.frame.astype(np.int16) - again.after.frame).mean()
        sentence = (
            f"the frames of step {index} differ by up to {frames:g} grey levels, "
            f"its outcome by {mean:.3g} on average"
        )
        return Difference(index, "frames", frames, sentence)
    for what, by in (
        ("state", _units(logged.after.state, again.after.state)),
        ("reward", _units(np.asarray(logged.reward), np.asarray(again.reward))),
    ):
        if by > tolerance:
            return Difference(index, what, by, f"the {what} of step {index} differs by {by:g}")
    ends = [(step.terminated, step.truncated) for step in (logged, again)]
    if ends[0][0] != ends[1][0] or (ends[1][1] and not ends[0][1]):
        names = [_end(*end) for end in ends]
        sentence = f"step {index} was {names[0]}, and now is {names[1]}"
        return Difference(index, "end", 0.0, sentence)
    return None


def _comparable(
    logged: Prediction, again: Prediction, video: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The trajectories; their outcomes alone where the log keeps no more, or not exactly."""
    if len(logged.trajectory) == 1:
        return logged.trajectory, again.trajectory[-1:]
    if video and len(logged.trajectory) == len(again.trajectory):
        return logged.trajectory[-1:], again.trajectory[-1:]
    return logged.trajectory, again.trajectory


def _grey_levels(logged: np.ndarray, again: np.ndarray) -> float:
    if logged.shape != again.shape:
        return 255.0
    return float(np.abs(logged.astype(np.int16) - again).max())


def _units(logged: np.ndarray, again: np.ndarray) -> float:
    """How far apart; infinitely where only one is NaN, which no comparison would notice."""
    if logged.shape != again.shape:
        return float("inf")
    apart = ~((logged == again) | (np.isnan(logged) & np.isnan(again)))
    differences = np.abs(logged[apart] - again[apart])
    return float(np.nan_to_num(differences, nan=np.inf, posinf=np.inf).max(initial=0.0))


def _end(terminated: bool, truncated: bool) -> str:
    return "terminated" if terminated else "truncated" if truncated else "no end"
