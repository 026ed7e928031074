"""Moments of recorded episodes at which others begin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chronosim.episodes import EpisodeReader
from chronosim.episodes.place import Place
from chronosim.errors import InvalidEpisode
from chronosim.types import Frame

__all__ = ["Moments"]


@dataclass(frozen=True, slots=True)
class Moments:
    """The moments of recorded episodes, read when they are drawn: a data set may be large.

    Attributes:
        episodes: Where they are, one or more.
        names: What the numbers of their commanded states are called, in their order.
        step: The one moment of each episode to begin at; None: any but the last, which may be
            where the world ended.

    Raises:
        InvalidEpisode: The first episode's states have another number of numbers than `names`
            names, or it has no such step.
    """

    episodes: Sequence[Place]
    names: Sequence[str] = ()
    step: int | None = None

    def __post_init__(self) -> None:
        self._begin(EpisodeReader(self.episodes[0]), self.step or 0)

    def draw(self, rng: np.random.Generator) -> tuple[Frame, dict[str, float]]:
        """Draws a moment: its frame, and its initial values by name."""
        reader = EpisodeReader(self.episodes[int(rng.integers(len(self.episodes)))])
        if self.step is not None:
            return self._begin(reader, self.step)
        return self._begin(reader, int(rng.integers(max(1, reader.steps))))

    def _begin(self, reader: EpisodeReader, index: int) -> tuple[Frame, dict[str, float]]:
        if not 0 <= index <= reader.steps:
            raise InvalidEpisode(
                f"{reader.path} has the moments 0 to {reader.steps}, but no step {index}"
            )
        moment = reader.observation(index)
        if len(moment.state) != len(self.names):
            raise InvalidEpisode(
                f"{reader.path} keeps states of {len(moment.state)} numbers: "
                f"name them all with names=[...], not {list(self.names)}"
            )
        return moment.frame, dict(zip(self.names, map(float, moment.state), strict=True))
