"""Begins at moments of recorded episodes; a function of yours says what counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from chronosim.episodes import list_episodes
from chronosim.errors import InvalidConfig
from chronosim.scenarios.starts import Moments, Starts, load_starts
from chronosim.settings.parts import locate
from chronosim.types import Frame, Observation, Prediction

Judge = Callable[[Observation, Any, Prediction, Observation], tuple[float, bool]]
"""Judges one step, as `Scenario.score` does: (before, action, prediction, after) to a reward and
whether the episode terminates."""


@dataclass(frozen=True, slots=True)
class RecordedScenario:
    """Begins at any moment of recorded episodes, in whatever world they show.

    Attributes:
        starts: A data set, as `chronosim record` leaves it; an .npz with `frames` and an array of
            each initial value; or a folder of RGB PNGs of one size.
        names: Of the numbers in a data set's commanded states, in order.
        values: Initial values that PNGs begin with.
        judge: A `Judge`, or its import path ("my_package.my_judge"); None: every reward is 0 and
            no episode ends.
        instruction: What a policy is asked to do, in words.

    Raises:
        EpisodeNotFound: There is nothing at `starts`.
        InvalidEpisode: `names` and the data set's states differ in length.
        InvalidFrame: The first frames are not RGB uint8.
        InvalidConfig: There is no such judge.
    """

    starts: str | Path
    names: Sequence[str] = ()
    values: Mapping[str, float] | None = None
    judge: str | Judge | None = None
    instruction: str = field(default="", repr=False)  # it changes nothing of the world
    _starts: Starts | Moments = field(init=False, repr=False, compare=False)
    _judge: Judge = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        path = Path(self.starts)
        episodes = list_episodes(path) if path.is_dir() else []
        starts = Moments(tuple(episodes), tuple(self.names)) if episodes else None
        object.__setattr__(self, "_starts", starts or load_starts(path, self.values))
        object.__setattr__(self, "_judge", _import(self.judge))

    def begin(self, rng: np.random.Generator) -> tuple[Frame, Mapping[str, float]]:
        """Draws a first frame and its initial values."""
        return self._starts.draw(rng)

    def score(
        self, before: Observation, action: Any, prediction: Prediction, after: Observation
    ) -> tuple[float, bool]:
        """Judges one step by `judge`."""
        reward, terminated = self._judge(before, action, prediction, after)
        return float(reward), bool(terminated)


def _import(judge: str | Judge | None) -> Judge:
    if judge is None:
        return lambda before, action, prediction, after: (0.0, False)
    if not isinstance(judge, str):
        return judge
    try:
        found: Judge = locate(judge)
    except (ImportError, ValueError) as error:
        raise InvalidConfig(f"there is no judge {judge!r}: {error}") from error
    return found
