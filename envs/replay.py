"""Runs a logged episode again, action by action, and finds where it comes out differently."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from chronosim.envs.chrono_env import ChronoEnv
from chronosim.episodes import EpisodeReader, Step
from chronosim.errors import InvalidEpisode
from chronosim.types import Prediction

__all__ = ["Difference", "first_difference"]


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
    if not isinstance(seed, int) or lineage is not None:
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
        _, reward, terminated, truncated, info = env.step(logged.action)
        again = Step(
            action=logged.action,
            text=info["text"],
            seed=info["seed"],
            prediction=Prediction(info["trajectory"]),
            after=env.observation,
            reward=reward,
            terminated=terminated,
            truncated=truncated,
        )
        found = _difference(index, logged, again, tolerance, video=reader.trajectories == "video")
        if found is None and (terminated or truncated) and index + 1 < reader.steps:
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
