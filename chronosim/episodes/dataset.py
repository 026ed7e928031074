"""Windows of recorded episodes, for training: map-style, and without torch itself."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from upath import UPath

from chronosim.episodes.place import Place, as_place, list_episodes
from chronosim.episodes.reader import EpisodeReader
from chronosim.errors import InvalidConfig, InvalidEpisode

_OPEN = 256  # episodes whose columns are kept in memory; their frames never are


class EpisodeDataset:
    """Windows of consecutive steps, as `torch.utils.data.DataLoader` takes them.

    A window of `horizon` steps is a dict of numpy arrays:

    ==============  ============================================================================
    key             content
    ==============  ============================================================================
    frames          uint8 (horizon + 1, height, width, 3): observed before, between and after
    states          float32 (horizon + 1, n)
    action          (horizon, ...), or (horizon, action_chunk, ...): the actions from a step on
    action_is_real  bool (horizon, action_chunk): False where the episode had ended, and its last
                    action is repeated; only with `action_chunk`
    reward          float64 (horizon,)
    terminated      bool (horizon,)
    truncated       bool (horizon,)
    trajectory      uint8 (horizon, time, height, width, 3); only with `trajectories`
    text            the words, a list of `horizon` strings
    episode, step   where the window begins: index into `episodes`, and step
    ==============  ============================================================================

    Nothing stays open between two windows, so it can be sent to any number of worker processes.
    Live episodes count up to the length they had when the data set was made.

    Args:
        episodes: A data set (a folder or a URL), or the episodes to take.
        horizon: Steps in a window, >= 1.
        stride: Steps from the beginning of one window to that of the next, >= 1.
        action_chunk: How many actions are given for each step; None: its own alone.
        trajectories: Whether a window holds the frames on its way, all trajectories of one length.

    Attributes:
        episodes: The episodes that have a window, in order.

    Raises:
        EpisodeNotFound: There is no data set, or no episode of that name.
        InvalidConfig: A number is below 1.
        InvalidEpisode: No episode is as long as `horizon`, or their frames or actions are of
            several kinds.
    """

    def __init__(
        self,
        episodes: str | Path | UPath | Sequence[str | Path | UPath],
        *,
        horizon: int = 8,
        stride: int = 1,
        action_chunk: int | None = None,
        trajectories: bool = False,
    ) -> None:
        for name, number in (("horizon", horizon), ("stride", stride), ("chunk", action_chunk)):
            if number is not None and number < 1:
                raise InvalidConfig(f"windows need a {name} of 1 step or more, not {number}")
        if isinstance(episodes, str | Path | UPath):
            places = list_episodes(episodes)
        else:
            places = [as_place(path) for path in episodes]
        readers = [EpisodeReader(place) for place in places]
        lengths = [reader.steps for reader in readers]
        counts = [max(0, (length - horizon) // stride + 1) for length in lengths]
        self.episodes: list[Place] = [
            place for place, count in zip(places, counts, strict=True) if count
        ]
        if not self.episodes:
            raise InvalidEpisode(
                f"none of {len(places)} episodes has {horizon} steps or more: the longest has "
                f"{max(lengths, default=0)}"
            )
        _check_alike([one for one, count in zip(readers, counts, strict=True) if count])
        self._ends = np.cumsum([count for count in counts if count])
        self._horizon, self._stride = horizon, stride
        self._chunk, self._trajectories = action_chunk, trajectories
        self._alike: dict[str, Any] = {}
        self._open: OrderedDict[int, _Opened] = OrderedDict()

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Reads one window.

        Raises:
            IndexError: There is no such window.
            InvalidEpisode: Its episode is damaged, or not like the others.
        """
        index = range(len(self))[index]
        episode = int(np.searchsorted(self._ends, index, side="right"))
        before = int(self._ends[episode - 1]) if episode else 0
        start = (index - before) * self._stride
        return self._window(episode, start)

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Reads the windows of a batch, episode by episode; torch's DataLoader asks for this."""
        read = {index: self[index] for index in sorted(set(indices))}
        return [read[index] for index in indices]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": OrderedDict()}  # a worker opens what it needs itself

    def order(self, seed: int, epoch: int = 0) -> list[int]:
        """Shuffles the windows: the same for the same seed and epoch, on every machine.

        Args:
            seed: Seed of the shuffling.
            epoch: Which pass over the data.

        Returns:
            All indices, to be given as a DataLoader's `sampler`.
        """
        return np.random.default_rng((seed, epoch)).permutation(len(self)).tolist()

    def _window(self, episode: int, start: int) -> dict[str, Any]:
        opened = self._opened(episode)
        stop = start + self._horizon
        steps = slice(start, stop)
        window: dict[str, Any] = {
            "frames": opened.reader.window(start, stop + 1),
            "states": opened.states[start : stop + 1],
            **{name: opened.columns[name][steps] for name in _COLUMNS},
            "text": opened.text[steps],
            "episode": episode,
            "step": start,
        }
        if self._chunk is not None:
            ahead = np.arange(start, stop)[:, None] + np.arange(self._chunk)
            last = opened.reader.steps - 1
            window["action"] = opened.columns["action"][np.minimum(ahead, last)]
            window["action_is_real"] = ahead <= last
        if self._trajectories:
            window["trajectory"] = opened.reader.trajectories_of(start, stop)
        self._check(opened, window)
        return window

    def _opened(self, index: int) -> _Opened:
        if index not in self._open:
            reader = EpisodeReader(self.episodes[index])
            columns = {name: reader.column(name) for name in _COLUMNS}
            texts = [str(text) for text in reader.column("text")]
            self._open[index] = _Opened(reader, reader.states, columns, texts)
            if len(self._open) > _OPEN:
                self._open.popitem(last=False)
        self._open.move_to_end(index)
        return self._open[index]

    def _check(self, opened: _Opened, window: dict[str, Any]) -> None:
        """Batches want windows of one shape: says which episode has another."""
        for name in ("frames", "states", "action", "trajectory"):
            shape = getattr(window.get(name), "shape", None)
            known, place = self._alike.setdefault(name, (shape, opened.reader.path))
            if shape != known:
                raise InvalidEpisode(
                    f"windows of {opened.reader.path} have {name} of shape {shape}, but those of "
                    f"{place} of shape {known}: make a data set of each kind"
                )


def _check_alike(readers: Sequence[EpisodeReader]) -> None:
    """Refuses a mixture before the first batch meets it; no frame is read."""
    first = readers[0]
    size, kind = first.frame_size, first.action_kind
    for reader in readers[1:]:
        for what, ours, theirs in (
            ("frames of size", size, reader.frame_size),
            ("actions of kind and shape", kind, reader.action_kind),
        ):
            if ours != theirs:
                raise InvalidEpisode(
                    f"{reader.path} has {what} {theirs}, but {first.path} {ours}: "
                    "make a data set of each kind"
                )


_COLUMNS = ("action", "reward", "terminated", "truncated")


@dataclass(frozen=True, slots=True, eq=False)
class _Opened:
    """An episode's reader, and its columns."""

    reader: EpisodeReader
    states: np.ndarray
    columns: dict[str, np.ndarray]
    text: list[str]
