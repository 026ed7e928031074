"""What rollouts and recordings share: seeds dealt out, episodes found again, results summed up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter, time
from typing import Any

from chronosim.episodes import EpisodeReader, EpisodeWriter, compact
from chronosim.episodes.compaction import check_whole
from chronosim.episodes.place import discard, give_name
from chronosim.errors import EpisodeExists, InvalidConfig
from chronosim.processes import Processes
from chronosim.types import as_seed
from chronosim.whatif.store import differences

Map = Callable[[Callable[[Sequence[int]], "Shard"], Iterable[Sequence[int]]], Iterable["Shard"]]
"""Calls a function with each of some shards of seeds, somewhere, and gives what comes of them."""

_HALF_MADE = 60.0  # seconds after which a draft without a beginning is nobody's
_MAKING = ("source", "model", "prompter", "scenario", "policy")  # what one data set has in common


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come.

    Attributes:
        done: Episodes that are finished, given up, or left to others.
        total: Episodes to be made.
        steps: Steps taken.
        seconds: Since the beginning.
    """

    done: int
    total: int
    steps: int
    seconds: float


@dataclass(slots=True)
class Shard:
    """What came of some seeds.

    Attributes:
        made: Seeds of the episodes that were finished.
        steps: Steps taken.
        failures: Why an episode was given up, a sentence by seed.
        lost: Of which episodes another attempt was finished first, a sentence by seed.
    """

    made: list[int] = field(default_factory=list)
    steps: int = 0
    failures: dict[int, str] = field(default_factory=dict)
    lost: dict[int, str] = field(default_factory=dict)

    @property
    def done(self) -> int:
        """Episodes that are seen to."""
        return len(self.made) + len(self.failures) + len(self.lost)

    def give_up(self, seed: int, writer: EpisodeWriter, error: Exception) -> None:
        """Leaves an episode unfinished for good, and notes why."""
        why = f"step {writer.steps} could not be taken: {error}"
        writer.give_up(why)
        self.failures[seed] = why

    def add(self, other: Shard) -> None:
        """Adds what came of other seeds."""
        self.made += other.made
        self.steps += other.steps
        self.failures |= other.failures
        self.lost |= other.lost


@dataclass(frozen=True, slots=True, eq=False)
class Rollouts:
    """What came of a run.

    Attributes:
        dataset: The folder of the episodes.
        seeds: All that were asked for, in order.
        there: Seeds of the episodes that were there already.
        failures: Why an episode was given up, a sentence by seed; what was taken of it is kept as
            an unfinished episode.
        lost: Of which episodes another run's attempt was finished first, a sentence by seed.
        steps: Steps taken now.
        seconds: How long they took.
    """

    dataset: Path
    seeds: tuple[int, ...]
    there: tuple[int, ...]
    failures: Mapping[int, str]
    lost: Mapping[int, str]
    steps: int
    seconds: float

    @property
    def episodes(self) -> list[Path]:
        """The finished episodes, in the order of their seeds."""
        names = (episode_name(seed) for seed in self.seeds if seed not in self.failures)
        return [self.dataset / name for name in names]


def deal(
    roll: Callable[..., Shard],
    dataset: Path,
    seeds: Iterable[int],
    *,
    about: Mapping[str, Any],
    shards: Map | None,
    workers: int,
    size: int,
    progress: Callable[[Progress], None] | None,
) -> Rollouts:
    """Makes the episodes that are missing.

    Args:
        roll: Makes the episodes of some seeds; what it may tell of its progress it calls with a
            `Shard` so far, where it is given `progress`.
        dataset: The folder of the episodes.
        seeds: Of all that are wanted.
        about: What those that are there must say of their making.
        shards: Deals them out; None: `workers` says who makes them.
        workers: Processes of this machine; 1: all are made here, at once.
        size: Seeds in a shard, at most.
        progress: Called on the way.

    Raises:
        InvalidConfig: There is no worker, or both a map and workers.
        InvalidConfig: A seed is no whole number from 0 to 2**63 - 1.
        ChronosimError: As `seeds_to_make` and `roll`.
    """
    if workers < 1 or (shards is not None and workers > 1):
        raise InvalidConfig(f"workers must be 1 or more, and 1 beside a map, not {workers}")
    wanted = tuple(dict.fromkeys(map(as_seed, seeds)))
    missing = seeds_to_make(dataset, wanted, about)
    began, done = perf_counter(), Shard()

    def tell(so_far: Shard) -> None:
        if progress is not None:
            steps, seconds = done.steps + so_far.steps, perf_counter() - began
            progress(Progress(done.done + so_far.done, len(missing), steps, seconds))

    if shards is None and workers == 1:
        done = roll(missing, progress=tell)
    else:
        size = min(size, -(-len(missing) // workers) or 1)  # or some would get none
        shards = shards or processes(workers)
        dealt = [missing[start : start + size] for start in range(0, len(missing), size)]
        for made in shards(roll, dealt):
            done.add(made)
            tell(Shard())
    there = set(wanted) - set(missing)
    return Rollouts(
        dataset=dataset,
        seeds=wanted,
        there=tuple(seed for seed in wanted if seed in there),
        failures=done.failures,
        lost=done.lost,
        steps=done.steps,
        seconds=perf_counter() - began,
    )


def processes(count: int) -> Map:
    """Deals shards out over processes of this machine; each gets world and policy once.

    Args:
        count: How many, >= 1; the CPUs that may be used are divided among them.
    """

    def deal_out(
        roll: Callable[[Sequence[int]], Shard], shards: Iterable[Sequence[int]]
    ) -> Iterator[Shard]:
        with Processes(partial(_given, roll), count) as several:
            yield from several.finished(shards)

    return deal_out


def _given(roll: Callable[[Sequence[int]], Shard]) -> Callable[[Sequence[int]], Shard]:
    return roll


@contextmanager
def closed(seed: int, shard: Shard) -> Iterator[None]:
    """Notes an episode whose writer lost to another attempt, instead of raising."""
    try:
        yield
    except EpisodeExists as error:
        shard.lost[seed] = str(error)


def begin_episode(
    dataset: Path, seed: int, shard: Shard, make: Callable[[Path], EpisodeWriter]
) -> EpisodeWriter | None:
    """Begins an attempt at an episode; None, and noted, where another one is finished already."""
    with closed(seed, shard):
        return make(dataset / episode_name(seed))
    return None


def episode_name(seed: int) -> str:
    """Names an episode by its seed: `0000007`."""
    return f"{seed:07d}"


def seeds_to_make(
    dataset: Path, seeds: Iterable[int], about: Mapping[str, Any] | None = None
) -> list[int]:
    """Tells which episodes are still to be made, and mends what a broken-off run left.

    Other runs may be at work in the data set. An episode that only lacks its name gets it; a half
    of one under its name is removed; so is an attempt that was given up. Other unfinished drafts
    stay readable until an attempt is finished.

    Args:
        dataset: The folder of the episodes.
        seeds: Of the wanted episodes.
        about: What those that are there must say of their making; None: anything.

    Returns:
        The seeds of those that are not there, in their order.

    Raises:
        InvalidEpisode: One was cut off and repaired: it is no whole episode, and not ours to
            remove. Nothing was removed.
        InvalidConfig: One was made otherwise. Nothing was removed.
    """
    wanted = {episode_name(seed): seed for seed in seeds}
    left: dict[str, list[Path]] = {}  # by the episode's name
    for entry in sorted(dataset.glob(".*")):
        left.setdefault(entry.name[1:].partition(".")[0], []).append(entry)
    for name in wanted:
        if (dataset / name / "zarr.json").is_file():
            _check_known(EpisodeReader(dataset / name), about or {})
    return [
        seed for name, seed in wanted.items() if not _is_there(dataset / name, left.get(name, []))
    ]


def _check_known(reader: EpisodeReader, about: Mapping[str, Any]) -> None:
    check_whole(reader)
    ours = {name: about[name] for name in _MAKING if name in about}
    if changed := differences(reader.about, ours):
        raise InvalidConfig(
            f"{reader.path} was made with another {', '.join(changed)}: use the same to go on with "
            "its data set, or another folder"
        )


def _is_there(path: Path, left: Sequence[Path]) -> bool:
    """Whether an episode is finished, once what was left of attempts at it is seen to."""
    if path.exists() and not ((path / "zarr.json").is_file() and EpisodeReader(path).finished):
        discard(path)
    for entry in left:
        draft = EpisodeReader(entry) if (entry / "zarr.json").is_file() else None
        if draft is not None and draft.finished and not path.exists():
            give_name(entry, path)
            compact(path)
        elif (
            path.exists()
            or (draft is not None and draft.failure)
            or (draft is None and time() - entry.stat().st_mtime > _HALF_MADE)
        ):
            discard(entry)
    return path.exists()
