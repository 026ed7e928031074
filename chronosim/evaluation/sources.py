"""Where the truth comes from: a reference simulator, or episodes that somebody recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

import gymnasium as gym
import numpy as np

from chronosim.episodes import EpisodeReader, list_episodes
from chronosim.episodes.place import Place
from chronosim.errors import InvalidConfig, InvalidEpisode
from chronosim.evaluation.truth import (
    Moment,
    Recording,
    Reference,
    Region,
    draw_moments,
    draw_recordings,
)
from chronosim.protocols import Prompter
from chronosim.simulators.reference import check_clock
from chronosim.types import Observation, State


@dataclass(frozen=True, slots=True)
class Setting:
    """Where moments come from.

    Attributes:
        source: Name of the reference simulator, or of the data set.
        first_seed: Where its seeds begin; None: recorded by somebody else.
        others: Other actions at each moment; 0 where nobody knows what they would have led to.
        apart: Smallest difference of two true outcomes, RMS grey levels.
        left_out: A region that is judged with and without; None: none.
    """

    source: str
    first_seed: int | None = None
    others: int = 0
    apart: float = 0.0
    left_out: Region | None = None

    @property
    def where(self) -> str:
        """The source and its seeds, in words."""
        if self.first_seed is None:
            return self.source
        return f"{self.source} (seeds from {self.first_seed:,} on)"


@dataclass(frozen=True, slots=True)
class Simulated:
    """A reference simulator, which also tells what other actions would have led to.

    Attributes:
        reference: The simulator and who acts in it.
        windows: Moments, each from an episode of its own; 2 or more.
        rollouts: Episodes; 2 or more.
        rollout_steps: Held actions in each of them; 1 or more.
        first_seed: Where its seeds begin; keep it away from the seeds trained on.
        others: Other actions at each moment; 1 or more.
        apart: Smallest difference of two true outcomes there, RMS grey levels.
        workers: Processes that simulate.
        setting: The same, for tables.

    Raises:
        InvalidConfig: A number is out of its range, or the simulator and the prompter hold an
            action for different times.
        ChronosimError: As the simulator and the policies when they are made.
    """

    reference: Reference
    windows: int = 100
    rollouts: int = 24
    rollout_steps: int = 20
    first_seed: int = 1_000_000
    others: int = 4
    apart: float = 10.0
    workers: int = 1
    setting: Setting = field(init=False)

    def __post_init__(self) -> None:
        _check_counts({name: getattr(self, name) for name in _LEAST})
        if not 0 <= self.apart < inf:
            raise InvalidConfig(
                f"apart must be a number of grey levels, 0 or more, not {self.apart:g}"
            )
        reference = self.reference  # every part is made once: what is wrong with it is told now
        simulator = reference.simulator()
        reference.policy(0)
        reference.alternatives(0)
        check_clock(simulator, reference.prompter)
        setting = Setting(
            simulator.source, self.first_seed, self.others, float(self.apart), reference.left_out
        )
        object.__setattr__(self, "setting", setting)

    @property
    def prompter(self) -> Prompter:
        """Words the actions of moments and episodes."""
        return self.reference.prompter

    @property
    def tested(self) -> str:
        """The simulator, the seeds, and how much of it."""
        return (
            f"Tested against the real {self.setting.source} on seeds from {self.first_seed:,} on: "
            f"{self.windows} moments, and {self.rollouts} episodes of {self.rollout_steps} actions."
        )

    @property
    def about(self) -> Mapping[str, Any]:
        """The simulator's name and how long it holds an action."""
        return {
            "source": self.setting.source,
            "seconds_per_step": self.reference.prompter.seconds_per_step,
            "prompter": repr(self.reference.prompter),
        }

    def moments(self) -> Iterator[Moment]:
        """Draws moments from fresh episodes; see `draw_moments`."""
        return draw_moments(
            self.windows,
            reference=self.reference,
            first_seed=self.first_seed,
            others=self.others,
            apart=self.apart,
            workers=self.workers,
        )

    def recordings(self) -> Iterator[Recording]:
        """Records fresh episodes; see `draw_recordings`."""
        return draw_recordings(
            self.rollouts,
            reference=self.reference,
            steps=self.rollout_steps,
            first_seed=self.first_seed,
            workers=self.workers,
        )


class AsLogged:
    """A prompter whose actions are words already: those that a step was logged with."""

    seconds_per_step = None
    action_space = gym.spaces.Text(1_000_000)
    state_space = gym.spaces.Box(-np.inf, np.inf, (0,), np.float32)

    def begin(self, values: Mapping[str, float]) -> State:
        """Keeps no state."""
        return np.zeros(0, np.float32)

    def __call__(self, observation: Observation, action: Any) -> tuple[str, State]:
        """Passes the words on."""
        return str(action), observation.state


class Recorded:
    """Episodes of a data set; what other actions would have led to, nobody knows.

    Args:
        name: What the data set is called, or its path.
        episodes: At least two; None: all in the folder `name`.
        windows: Moments at most; they are spread over all steps by a draw that is always the same.
        rollouts: Episodes at most whose beginnings are rolled out.
        rollout_steps: Steps of each beginning; shorter episodes are left out.

    Raises:
        EpisodeNotFound: There is no data set.
        InvalidConfig: Too few episodes are that long, or their frames are of several sizes.
        InvalidEpisode: A step was logged without words.

    Attributes:
        windows: Moments that there are.
        rollouts: Episodes that there are.
        setting: What the data set is called.
        prompter: Passes the logged words on.
    """

    def __init__(
        self,
        name: str,
        episodes: Sequence[Place] | None = None,
        *,
        windows: int = 100,
        rollouts: int = 24,
        rollout_steps: int = 20,
    ) -> None:
        steps = rollout_steps
        _check_counts({"windows": windows, "rollouts": rollouts, "rollout_steps": steps})
        episodes = list_episodes(name) if episodes is None else episodes
        self._readers = [reader for reader in map(EpisodeReader, episodes) if reader.steps]
        self._steps = steps
        self._long = [reader for reader in self._readers if reader.steps >= steps][:rollouts]
        if len(self._long) < 2:
            longest = max((reader.steps for reader in self._readers), default=0)
            raise InvalidConfig(
                f"fewer than 2 of the {len(episodes)} episodes have rollout_steps={steps} steps; "
                f"the longest has {longest}"
            )
        _check_sizes(self._readers)
        self._texts = [_texts(reader) for reader in self._readers]
        self.windows = min(windows, sum(reader.steps for reader in self._readers))
        self.rollouts = len(self._long)
        self.setting, self.prompter = Setting(name), AsLogged()

    @property
    def tested(self) -> str:
        """The data set and how much of it; also if it says that a model imagined it."""
        text = (
            f"Tested against the episodes in {self.setting.source}: {self.windows} moments, and "
            f"{self.rollouts} episodes of {self._steps} actions."
        )
        if any(reader.about.get("synthetic") is True for reader in self._readers):
            text += " Beware: a model imagined them; this is no test against the truth."
        return text

    @property
    def about(self) -> Mapping[str, Any]:
        """The data set's name."""
        return {"source": self.setting.source}

    def moments(self) -> Iterator[Moment]:
        """Gives steps of the episodes, in their order."""
        places = [(r, s) for r, reader in enumerate(self._readers) for s in range(reader.steps)]
        drawn = np.random.default_rng(0).choice(len(places), self.windows, replace=False)
        lengths = {int(length) for reader in self._readers for length in reader.lengths}
        for index in sorted(drawn.tolist()):
            which, step = places[index]
            reader = self._readers[which]
            trajectory = reader.trajectory(step)
            if len(lengths) > 1:  # of several: the outcomes can be compared
                trajectory = trajectory[-1:]
            others = np.zeros((0, *trajectory.shape[1:]), np.uint8)
            text = self._texts[which][step]
            yield Moment(_seed(reader), reader.observation(step), (text,), trajectory, others)

    def recordings(self) -> Iterator[Recording]:
        """Gives the beginnings of the episodes that are long enough."""
        for number, reader in enumerate(self._long):
            frames, states = reader.window(0, self._steps + 1), reader.states
            yield Recording(
                number,  # their own seeds need not differ
                tuple(self._texts[self._readers.index(reader)][: self._steps]),
                tuple(
                    Observation(frames[step], states[step], step) for step in range(self._steps + 1)
                ),
            )


Source = Simulated | Recorded
"""Gives what truly happens, the same every time."""

_LEAST = {
    "windows": 2,  # one half of them moves
    "rollouts": 2,  # the mean frame is that of the others
    "rollout_steps": 1,
    "others": 1,
    "workers": 1,
    "first_seed": 0,
}


def _check_counts(counts: Mapping[str, Any]) -> None:
    for name, value in counts.items():
        least = _LEAST[name]
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InvalidConfig(f"{name} must be a whole number of at least {least}, not {value!r}")


def _check_sizes(readers: Sequence[EpisodeReader]) -> None:
    first, *others = readers
    for reader in others:
        if reader.frame_size != first.frame_size:
            raise InvalidConfig(
                f"frames of one size are judged together: {first.path} has "
                f"{_size(first)}, but {reader.path} {_size(reader)}"
            )


def _size(reader: EpisodeReader) -> str:
    height, width = reader.frame_size
    return f"{height} x {width}"


def _texts(reader: EpisodeReader) -> list[str]:
    texts = [str(text) for text in reader.column("text")]
    for step, text in enumerate(texts):
        if not text.strip():
            raise InvalidEpisode(
                f"step {step} of {reader.path} was logged without words, so a model cannot be "
                "asked about it: import the data set with a prompter"
            )
    return texts


def _seed(reader: EpisodeReader) -> int:
    seed = reader.about.get("seed")
    return seed if isinstance(seed, int) else 0
