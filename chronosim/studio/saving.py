"""A session's tree as episodes: each branch one, which says from which step of which it forked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chronosim.episodes import EpisodeWriter
from chronosim.errors import InvalidConfig
from chronosim.studio.session import Session
from chronosim.studio.tree import Node, Tree

__all__ = ["save_branch", "save_tree"]


@dataclass(frozen=True, slots=True)
class _Branch:
    """One episode to be: the moments it shows, and the lineage it has."""

    nodes: Sequence[Node]
    lineage: dict[str, Any] | None


def save_branch(session: Session, number: int, folder: Path) -> Path:
    """Saves the way from the beginning to a moment as one episode.

    Args:
        session: Whose.
        number: Of the moment.
        folder: Is made; the episode becomes its `episodes/0000000`.

    Returns:
        The episode.

    Raises:
        InvalidConfig: There is no step yet.
        EpisodeWriteError: The disk refuses; what is committed by then is whole.
    """
    path = session.tree.path(number)
    return _write(session, [_Branch(path, None)], folder)[0]


def save_tree(session: Session, folder: Path) -> Path:
    """Saves a tree: the first branch whole, every other one from its fork on.

    Where branches part, the first one is gone on with; each other is an episode of its own that
    begins at the fork, as `RecordEpisodes` and `chronosim.fork` leave them.

    Args:
        session: Whose.
        folder: Is made; the episodes become those of its `episodes`.

    Returns:
        The folder of the episodes.

    Raises:
        InvalidConfig: There is no step yet.
        EpisodeWriteError: The disk refuses; what is committed by then is whole.
    """
    return _write(session, _branches(session.tree), folder)[0].parent


def _branches(tree: Tree) -> list[_Branch]:
    branches: list[_Branch] = []
    waiting: list[tuple[list[Node], dict[str, Any] | None]] = [([tree[0]], None)]
    while waiting:
        nodes, lineage = waiting.pop(0)
        name, forks = _name(len(branches)), 0
        while children := tree.children(nodes[-1].number):
            for child in children[1:]:
                forks += 1
                parted = {"episode": name, "step": len(nodes) - 1, "branch": forks}
                waiting.append(([nodes[-1], child], parted))
            nodes.append(children[0])
        branches.append(_Branch(nodes, lineage))
    return branches


def _write(session: Session, branches: Sequence[_Branch], folder: Path) -> list[Path]:
    if len(session.tree) == 1:
        raise InvalidConfig("there is nothing to save yet: take a step first")
    paths = []
    for number, branch in enumerate(branches):
        first, *nodes = branch.nodes
        about = session.world.about(_seed(session, branch), branch.lineage)
        about |= {"noise": (nodes[0] if nodes else first).noise, "origin": session.origin}
        path = folder / "episodes" / _name(number)
        with EpisodeWriter(path, first.observation, about) as writer:
            for node in nodes:
                assert node.step is not None
                writer.append(node.step)
        paths.append(path)
    return paths


def _seed(session: Session, branch: _Branch) -> int | None:
    """The seed that an episode can be run again from; None where other noise came in."""
    alike = all(node.noise == session.tree[0].noise for node in branch.nodes)
    return session.seed if alike else None


def _name(number: int) -> str:
    return f"{number:07d}"
