"""The folder that a studio saves trees to, as episodes, and opens them from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any, TypeGuard

from chronosim.episodes import EpisodeReader, EpisodeWriter, list_episodes
from chronosim.episodes.place import is_episode, read_attributes
from chronosim.errors import ChronosimError, EpisodeNotFound, InvalidConfig, InvalidEpisode
from chronosim.files import user_path
from chronosim.seeds import noise_seed
from chronosim.studio.sessions import Session
from chronosim.studio.tree import SessionNode, SessionTree
from chronosim.types import Frame, Observation
from chronosim.whatif.store import took_steps

_MOST = 500  # entries of a folder that are shown; a page of thousands is read by nobody


class Library:
    """A folder of episodes; nothing outside of it is ever read or written.

    Args:
        root: The folder; it is made with the first save.
    """

    def __init__(self, root: Path) -> None:
        self.root = user_path(root).resolve()

    def entries(self, path: str) -> dict[str, Any]:
        """Lists a folder of the library, the newest entry first, in JSON values.

        Args:
            path: Relative to the root; "" for the root itself.

        Raises:
            EpisodeNotFound: There is no such folder.
        """
        folder = self._inside(path)
        if not folder.is_dir():
            if folder == self.root:
                return {"path": "", "entries": [], "left_out": 0, "root": str(self.root)}
            raise EpisodeNotFound(f"there is no folder {path} in {self.root}")
        found = sorted(
            (one for one in folder.iterdir() if one.is_dir() and not one.name.startswith(".")),
            key=lambda one: (-one.stat().st_mtime, one.name),
        )
        shown = [entry for one in found[:_MOST] if (entry := self._entry(one))]
        return {
            "path": self._name(folder),
            "entries": shown,
            "left_out": max(0, len(found) - _MOST),
            "root": str(self.root),
        }

    def open(self, path: str) -> list[EpisodeReader]:
        """Opens an episode with those it forked from, or all episodes of a data set.

        Args:
            path: An episode, a data set or a run's results, relative to the root.

        Raises:
            EpisodeNotFound: There is no episode.
            InvalidEpisode: An episode cannot be read.
        """
        place = self._inside(path)
        if not is_episode(place):
            dataset = place / "episodes" if (place / "episodes").is_dir() else place
            readers = [
                EpisodeReader(self._inside(self._name(Path(str(one)))))
                for one in list_episodes(dataset)[: _MOST + 1]
            ]
            if not readers:
                raise EpisodeNotFound(f"there are no episodes in {path}")
            if len(readers) > _MOST:
                raise InvalidConfig(f"{path} holds more than {_MOST} episodes: open one of them")
            return readers
        readers = [EpisodeReader(place)]
        while lineage := lineage_of(readers[-1].about):
            name = str(lineage.get("episode"))
            parent = self._inside(self._name(place.parent / name))
            beside = parent.parent == place.parent and is_episode(parent)
            if not beside or parent in [reader.path for reader in readers]:
                break  # a fork without its parent is an episode like any other
            readers.append(EpisodeReader(parent))
        return readers

    def last_frame(self, path: str) -> Frame:
        """Gives the last frame of an episode, or of the first episode in a folder.

        Raises:
            EpisodeNotFound: There is no episode.
            InvalidEpisode: It cannot be read.
        """
        place = self._inside(path)
        for folder in (place, place / "episodes"):
            if is_episode(folder):
                break
            if folder.is_dir() and (episodes := list_episodes(folder)):
                folder = self._inside(self._name(Path(str(episodes[0]))))
                break
        else:
            raise EpisodeNotFound(f"there is no episode in {path}")
        reader = EpisodeReader(folder)
        return reader.observation(reader.steps).frame

    def new_folder(self) -> Path:
        """Names a new folder to save to; two saves may fall into one second."""
        now = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
        names = (now if number == 1 else f"{now}_{number}" for number in count(1))
        return next(
            self.root / "studio" / name
            for name in names
            if not (self.root / "studio" / name).exists()
        )

    def _inside(self, path: str) -> Path:
        """Resolves a path in the library, links included.

        Raises:
            EpisodeNotFound: The path lies outside.
        """
        try:
            real = (self.root / path).resolve()
            real.exists()
        except (OSError, RuntimeError, ValueError) as error:  # an endless name, a loop, a zero byte
            raise EpisodeNotFound(f"there is no such path: {path[:80]!r}") from error
        if not real.is_relative_to(self.root):
            raise EpisodeNotFound(
                f"{path[:80]!r} lies outside of {self.root}: the studio opens only what is there"
            )
        return real

    def _name(self, place: Path) -> str:
        """A path relative to the library's root."""
        inside = place.is_relative_to(self.root)
        name = place.relative_to(self.root).as_posix() if inside else str(place)
        return "" if name == "." else name

    def _entry(self, place: Path) -> dict[str, Any] | None:
        """One entry of the list; None for what leads outside."""
        try:
            real = self._inside(self._name(place))
            name = {"name": place.name, "path": self._name(real)}
            if not is_episode(real):
                return {**name, "kind": "run" if (real / "episodes").is_dir() else "folder"}
            attributes = read_attributes(real)
        except ChronosimError:
            return None
        about = attributes["about"]
        return {
            **name,
            "kind": "episode",
            "steps": int(attributes["steps"]),
            "fork": lineage_of(about) is not None,
            "world": str((about.get("model") or {}).get("name") or about.get("source") or ""),
        }


def plant(
    readers: Sequence[EpisodeReader], identity: Mapping[str, Any], *, most: int = 2**30
) -> SessionTree:
    """Builds a tree from episodes, of which all but one are forks of others among them.

    Args:
        readers: The episodes.
        identity: Of the model that goes on from them; steps of other models keep their log.
        most: Bytes of frames that the tree may hold.

    Raises:
        InvalidEpisode: The episodes form no tree, or one is damaged.
        InvalidConfig: They hold more frames than a tree may.
    """
    names = {reader.path.name for reader in readers}
    roots = [reader for reader in readers if _parent(reader)[0] not in names]
    roots = roots or [readers[0]]  # the first one forked from an episode elsewhere, named alike
    if len(roots) != 1:
        raise InvalidEpisode(
            f"{readers[0].path.parent} holds {len(roots)} episodes that are forks of none there, "
            "and a tree has one: open an episode"
        )
    tree = SessionTree(roots[0].observation(0), _noise(roots[0]), most=most)
    places = {roots[0].path.name: _append(tree, 0, roots[0], identity)}
    waiting = [reader for reader in readers if reader is not roots[0]]
    while waiting:
        ready = [reader for reader in waiting if _parent(reader)[0] in places]
        if not ready:
            circle = ", ".join(reader.path.name for reader in waiting)
            raise InvalidEpisode(f"these episodes say that they are forks of each other: {circle}")
        for reader in ready:
            waiting.remove(reader)
            parent, step = _parent(reader)
            if not 0 <= step < len(places[parent]):
                raise InvalidEpisode(f"{reader.path} forks from step {step} of {parent}, not there")
            places[reader.path.name] = _append(tree, places[parent][step], reader, identity)
    return tree


def lineage_of(about: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What an episode's log says of the episode that it forked from; None if it is no fork."""
    lineage = about.get("lineage")
    return lineage if isinstance(lineage, Mapping) else None


def _parent(reader: EpisodeReader) -> tuple[str, int]:
    """The episode and the step that an episode forked from; "" if it is no fork."""
    lineage = lineage_of(reader.about)
    if lineage is None:
        return "", 0
    try:
        return str(lineage["episode"]), int(lineage["step"])
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidEpisode(f"{reader.path} does not say where it forked") from error


def _append(
    tree: SessionTree, at: int, reader: EpisodeReader, identity: Mapping[str, Any]
) -> list[int]:
    """Adds an episode's steps to a tree from a moment on; gives the numbers of its moments."""
    height, width = reader.frame_size
    if reader.steps:  # before reading: an episode may be hours long
        tree.check_room(int(reader.lengths.sum()) * height * width * 3)
    numbers, noises, depth = [at], _noises(reader), tree[at].observation.step
    log = None if took_steps(identity, reader.about) else reader.about
    for step, noise in zip(reader, noises, strict=True):
        after = Observation(step.after.frame, step.after.state, depth + len(numbers))
        node = tree.add(numbers[-1], replace(step, after=after), noise, log)
        numbers.append(node.number)
    return numbers


def _noise(reader: EpisodeReader) -> int:
    """The noise seed of further steps: the log's, or else one derived from its seed."""
    told, seed = reader.about.get("noise"), reader.about.get("seed")
    if _is_noise(told):
        return told
    return noise_seed(seed if type(seed) is int and seed >= 0 else 0, 0)


def _noises(reader: EpisodeReader) -> list[int]:
    """The noise seed of each step; one for all of them in logs that do not tell."""
    told = reader.about.get("noises")
    if isinstance(told, list) and len(told) == reader.steps and all(map(_is_noise, told)):
        return told
    return [_noise(reader)] * reader.steps


def _is_noise(told: Any) -> TypeGuard[int]:
    return type(told) is int and 0 <= told < 2**63


@dataclass(frozen=True, slots=True)
class _Branch:
    """One episode to be: the moments it shows, and the lineage it has."""

    nodes: Sequence[SessionNode]
    lineage: dict[str, Any] | None


def save_branch(session: Session, number: int, folder: Path) -> Path:
    """Saves the way from the beginning to a moment.

    It is one episode, or, where several models took its steps, one for each, every one but the
    first a fork of the one before.

    Args:
        session: The session.
        number: Of the moment.
        folder: Made by the save; its `episodes` hold the episodes.

    Returns:
        The episode that ends with the moment.

    Raises:
        InvalidConfig: There is no step yet.
        EpisodeWriteError: The disk refuses; what is committed by then is whole.
    """
    return _write(session, _pieces(session.tree.path(number)), folder)[-1]


def save_tree(session: Session, folder: Path) -> Path:
    """Saves a tree: the first branch as a whole, every other one from its fork on.

    An episode follows the first branch of its model; the other branches are episodes of their own
    that begin at the fork, as `RecordEpisodes` writes them for `chronosim.fork`.

    Args:
        session: The session.
        folder: Made by the save; its `episodes` hold the episodes.

    Returns:
        The folder of the episodes.

    Raises:
        InvalidConfig: There is no step yet.
        EpisodeWriteError: The disk refuses; what is committed by then is whole.
    """
    return _write(session, _branches(session.tree), folder)[0].parent


def _branches(tree: SessionTree) -> list[_Branch]:
    branches: list[_Branch] = []
    waiting: list[tuple[list[SessionNode], dict[str, Any] | None]] = [([tree[0]], None)]
    while waiting:
        nodes, lineage = waiting.pop(0)
        name, forks = _name(len(branches)), 0
        while children := tree.children(nodes[-1].number):
            onward = next((child for child in children if _goes_on(nodes, child)), None)
            for child in children:
                if child is not onward:
                    forks += 1
                    waiting.append(([nodes[-1], child], _lineage(name, nodes, forks)))
            if onward is None:
                break
            nodes.append(onward)
        branches.append(_Branch(nodes, lineage))
    return branches


def _pieces(path: Sequence[SessionNode]) -> list[_Branch]:
    """A way in pieces of one model each, every piece a fork of the one before."""
    pieces = [[path[0]]]
    for node in path[1:]:
        if not _goes_on(pieces[-1], node):
            pieces.append([pieces[-1][-1]])
        pieces[-1].append(node)
    forks = [_lineage(_name(number), nodes, 1) for number, nodes in enumerate(pieces[:-1])]
    return [_Branch(*one) for one in zip(pieces, [None, *forks], strict=True)]


def _goes_on(nodes: Sequence[SessionNode], child: SessionNode) -> bool:
    """Whether a step belongs to the episode of those before it: one model took them all."""
    return len(nodes) == 1 or child.log is nodes[-1].log


def _lineage(episode: str, nodes: Sequence[SessionNode], branch: int) -> dict[str, Any]:
    return {"episode": episode, "step": len(nodes) - 1, "branch": branch}


def _write(session: Session, branches: Sequence[_Branch], folder: Path) -> list[Path]:
    if len(session.tree) == 1:
        raise InvalidConfig("there is nothing to save yet: take a step first")
    paths = []
    for number, branch in enumerate(branches):
        first, *nodes = branch.nodes
        about = _about(session, branch)
        path = folder / "episodes" / _name(number)
        with EpisodeWriter(path, first.observation, about) as writer:
            for node in nodes:
                assert node.step is not None
                writer.append(node.step)
        paths.append(path)
    return paths


def _about(session: Session, branch: _Branch) -> dict[str, Any]:
    """An episode's `about`: its log's, where the session's model took none of its steps."""
    last = branch.nodes[-1]
    if last.log is None:
        about = session.chosen.about(_seed(session, branch), branch.lineage)
    else:
        about = {**last.log, "lineage": branch.lineage}
    first, *noises = (node.noise for node in branch.nodes)
    # `noise` stands for all steps in logs of before `noises`, which has one for each.
    noise = noises[0] if noises else first
    return {**about, "noise": noise, "noises": noises, "origin": session.origin}


def _seed(session: Session, branch: _Branch) -> int | None:
    """The seed that an episode can be run again from; None where noise was redrawn."""
    alike = all(node.noise == session.tree[0].noise for node in branch.nodes)
    return session.seed if alike else None


def _name(number: int) -> str:
    return f"{number:07d}"
