"""A tree on disk: a data set with an episode for each branch, from its fork on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from chronosim.episodes import EpisodeReader, EpisodeWriter, Step, list_episodes
from chronosim.episodes.place import Place, draft_of, give_name, named
from chronosim.errors import EpisodeNotFound, InvalidEpisode
from chronosim.types import Observation
from chronosim.whatif.tree import Branch, Tree

_ASIDE = ".aside"  # what a broken-off episode is called while it is written anew


@dataclass(frozen=True, slots=True, eq=False)
class StoredBranch:
    """A branch as it lies on disk.

    Attributes:
        name: Of the branch.
        path: Its episode.
        steps: All its steps, from the root on; shared ones are the same objects.
        parent: Name of the branch whose episode it leaves; None: it begins at the root.
        split: How many of `steps` lie in other episodes.
        planned: Steps of its plan.
        own: Whether the tree's model predicted it; False: it is the log of another.
        finished: Whether its plan was played to its end.
    """

    name: str
    path: Place
    steps: tuple[Step, ...]
    parent: str | None
    split: int
    planned: int
    own: bool
    finished: bool


class TreeStore:
    """Writes the branches of one tree, each step before the next is predicted.

    An episode holds the steps that are its branch's own. Its `about` has the branch's name under
    `branch`, and under `lineage`, as a recorded fork has it, the `episode` that it leaves, after
    which `step` of that, and which `branch` of the tree it is, counted from 0.

    Args:
        dataset: The folder; made if missing. A tree in it is gone on with.
        root: The moment the tree grows from.
        about: What made the tree, JSON values only; a tree that was begun must have the same.

    Attributes:
        branches: The branches on disk, by name.

    Raises:
        InvalidEpisode: The folder holds a tree of another root or origin, or something else; or
            another process is writing to it.
    """

    def __init__(self, dataset: Path, root: Observation, about: Mapping[str, Any]) -> None:
        self.dataset, self._root, self._about = dataset, root, dict(about)
        dataset.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(dataset / ".lock")
        try:
            self._lock.acquire(blocking=False)
        except Timeout as error:
            raise InvalidEpisode(
                f"another process is growing the tree in {dataset}: let it end, or use another "
                "folder"
            ) from error
        try:
            _put_back(dataset)
            self.branches = {branch.name: branch for branch in _read(dataset)}
            self._check()
            _give_names(dataset)
        except BaseException:
            self._lock.release()
            raise
        self._names = {name: branch.path.name for name, branch in self.branches.items()}
        self._writers: dict[str, EpisodeWriter] = {}

    def begin(
        self, name: str, at: Observation, parent: tuple[str, int] | None, *, planned: int, own: bool
    ) -> None:
        """Begins a branch's episode.

        Args:
            name: Of the new branch.
            at: Where it leaves the branches before it.
            parent: The branch whose episode it leaves, and after how many of its steps; None: it
                begins at the root.
            planned: Steps of its plan.
            own: Whether the tree's model predicted it; False: it is the log of another.
        """
        number = len(self._names)
        lineage = self._lineage(parent, number)
        about = {**self._about, "branch": name, "planned": planned, "own": own, "lineage": lineage}
        self._names[name] = f"{number:07d}"
        self._writers[name] = EpisodeWriter(self.dataset / self._names[name], at, about)

    def append(self, name: str, step: Step) -> None:
        """Writes a step of a branch that was begun, now or before."""
        self._writer(name).append(step)

    def finish(self, name: str) -> None:
        """Closes a branch's episode."""
        self._writer(name).close()
        del self._writers[name]

    def close(self) -> None:
        """Unlocks the data set; unfinished branches can be gone on with."""
        self._lock.release()

    def __enter__(self) -> TreeStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _writer(self, name: str) -> EpisodeWriter:
        """The writer of a branch; a broken-off episode is rewritten as far as it came."""
        if name not in self._writers:
            path = self.dataset / self._names[name]
            aside, known = self.dataset / f".{path.name}{_ASIDE}", self.branches[name]
            reader = EpisodeReader(path)
            first, about = reader.observation(0), reader.about
            reader.place.rename(aside)
            writer = self._writers[name] = EpisodeWriter(path, first, about)
            for step in known.steps[known.split :]:
                writer.append(step)
            shutil.rmtree(aside)
        return self._writers[name]

    def _lineage(self, parent: tuple[str, int] | None, number: int) -> dict[str, Any] | None:
        if parent is not None:
            return {"episode": self._names[parent[0]], "step": parent[1], "branch": number}
        if number:
            return {"episode": f"{0:07d}", "step": 0, "branch": number}
        return self._about.get("lineage")

    def _check(self) -> None:
        """Checks that the stored branches fit the tree to be grown."""
        for branch in self.branches.values():
            reader = EpisodeReader(branch.path)
            if changed := differences(reader.about, self._about):
                raise InvalidEpisode(
                    f"the tree in {self.dataset} was grown with another {', '.join(changed)}: "
                    "use the same to go on with it, or another folder"
                )
            if branch.split == 0 and not _same(reader.observation(0), self._root):
                raise InvalidEpisode(
                    f"the tree in {self.dataset} grows from another moment: use another folder"
                )


def load_tree(dataset: str | Path) -> Tree:
    """Reads a tree back from its data set.

    Args:
        dataset: The folder that it was grown in.

    Returns:
        The tree; broken-off branches have the steps that were taken.

    Raises:
        EpisodeNotFound: There is no data set, or no episode in it.
        InvalidEpisode: The episodes form no tree, or one is damaged.
    """
    branches = list(_read(Path(dataset)))
    if not branches:
        raise EpisodeNotFound(f"there is no tree in {dataset}: grow one with chronosim whatif")
    root = EpisodeReader(branches[0].path)
    first = replace(root.observation(0), step=_root_step(root))
    return Tree(
        first, tuple(Branch(branch.name, branch.steps, branch.planned) for branch in branches)
    )


def _read(dataset: Path) -> Iterator[StoredBranch]:
    """Reads branches in the order they began, each after its parent."""
    known: dict[str, StoredBranch] = {}  # by the names of their episodes
    for place in list_episodes(dataset, unfinished=True):
        path = named(place)
        if isinstance(path, Path) and place not in (path, draft_of(path)):
            continue  # its process died before it was begun
        reader = EpisodeReader(place)
        name, planned = reader.about.get("branch"), reader.about.get("planned")
        if not isinstance(name, str) or not isinstance(planned, int):
            raise InvalidEpisode(f"{path} is no branch of a tree: its log names none")
        parent, shared = _origin(reader, known)
        first = _root_step(reader) + len(shared)
        own = tuple(_moved(step, first + place + 1) for place, step in enumerate(reader))
        known[path.name] = StoredBranch(
            name=name,
            path=path,
            steps=(*shared, *own),
            parent=None if parent is None else parent.name,
            split=len(shared),
            planned=planned,
            own=bool(reader.about.get("own", True)),
            finished=reader.finished,
        )
        yield known[path.name]


def _origin(
    reader: EpisodeReader, known: Mapping[str, StoredBranch]
) -> tuple[StoredBranch | None, tuple[Step, ...]]:
    """The branch that an episode leaves, and the steps up to the fork."""
    lineage = reader.about.get("lineage")
    if not known:
        return None, ()
    if not isinstance(lineage, Mapping) or lineage.get("episode") not in known:
        raise InvalidEpisode(f"{reader.path} leaves an episode that is not in its tree: {lineage}")
    parent = known[str(lineage["episode"])]
    split = parent.split + int(lineage["step"])
    if split > len(parent.steps):
        raise InvalidEpisode(
            f"{reader.path} leaves {parent.path.name} after step {lineage['step']}, "
            f"but that has only {len(parent.steps) - parent.split}"
        )
    return parent, parent.steps[:split]


def _root_step(reader: EpisodeReader) -> int:
    return int(reader.about.get("root_step", 0))


def _moved(step: Step, number: int) -> Step:
    """A step counted from the beginning of the tree's own episode."""
    return replace(step, after=replace(step.after, step=number))


def _same(ours: Observation, theirs: Observation) -> bool:
    return np.array_equal(ours.frame, theirs.frame) and np.array_equal(ours.state, theirs.state)


def _put_back(dataset: Path) -> None:
    """Restores an episode that a killed process was rewriting: the longer version stays."""
    for aside in dataset.glob(f".*{_ASIDE}"):
        draft = draft_of(aside.with_name(aside.name[1:].removesuffix(_ASIDE)))
        if draft.exists() and EpisodeReader(draft).steps >= EpisodeReader(aside).steps:
            shutil.rmtree(aside)
            continue
        if draft.exists():
            shutil.rmtree(draft)
        aside.rename(draft)


def _give_names(dataset: Path) -> None:
    """Names the episodes whose process died when they only lacked that, and removes half-made ones.

    Nobody else writes to the data set; a branch that was broken off has one draft.
    """
    for half in dataset.glob(f".{'[0-9]' * 7}.*"):
        if half.name.endswith(_ASIDE):
            continue
        if half != draft_of(named(half)) or not (half / "zarr.json").exists():
            shutil.rmtree(half)
        elif EpisodeReader(half).finished:
            give_name(half, named(half))


# These do not change what is predicted: decoding the trajectory leaves the outcome as it is, and
# other versions or numbers of threads only round differently.
_MAY_DIFFER = {"decode_trajectory", "lineage", "threads", "version", "versions"}


def differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    """Names the settings in which a log differs from `ours`.

    Args:
        theirs: As it was read from a log.
        ours: JSON values; names that are not in it may differ.

    Returns:
        The names, nested ones joined by a dot.
    """
    found = []
    for name, value in json.loads(json.dumps(dict(ours))).items():
        other = theirs.get(name)
        if name in _MAY_DIFFER:
            continue
        if isinstance(value, Mapping) and isinstance(other, Mapping):
            found += [f"{name}.{inner}" for inner in differences(other, value)]
        elif other != value:
            found.append(name)
    return sorted(found)


def took_steps(identity: Mapping[str, Any], about: Mapping[str, Any]) -> bool:
    """Whether a model took an episode's steps: the same actions then lead to the same frames.

    Args:
        identity: Of the model.
        about: The episode's log.
    """
    model = about.get("model")
    synthetic = about.get("synthetic") is True
    return synthetic and isinstance(model, Mapping) and not differences(model, identity)
