"""A session's tree as episodes: each branch one, which says from which step of which it forked.

No episode mixes models: where a session's went on from what another one did, another begins.
"""

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

    Where several models took its steps, the episodes are one for each, every one but the first a
    fork of the one before.

    Args:
        session: Whose.
        number: Of the moment.
        folder: Is made; the episode becomes its `episodes/0000000`, those after it the next ones.

    Returns:
        The episode that ends with the moment.

    Raises:
        InvalidConfig: There is no step yet.
        EpisodeWriteError: The disk refuses; what is committed by then is whole.
    """
    return _write(session, _pieces(session.tree.path(number)), folder)[-1]


def save_tree(session: Session, folder: Path) -> Path:
    """Saves a tree: the first branch whole, every other one from its fork on.

    Where branches part, the first one of the same model is gone on with; each other is an episode
    of its own that begins at the fork, as `RecordEpisodes` and `chronosim.fork` leave them.

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


def _pieces(path: Sequence[Node]) -> list[_Branch]:
    """A way as branches of one model each, every one a fork of the one before."""
    pieces = [[path[0]]]
    for node in path[1:]:
        if not _goes_on(pieces[-1], node):
            pieces.append([pieces[-1][-1]])
        pieces[-1].append(node)
    forks = [_lineage(_name(number), nodes, 1) for number, nodes in enumerate(pieces[:-1])]
    return [_Branch(*one) for one in zip(pieces, [None, *forks], strict=True)]


def _goes_on(nodes: Sequence[Node], child: Node) -> bool:
    """Whether a step may stand in the same episode as those before it: if one model took all."""
    return len(nodes) == 1 or child.log is nodes[-1].log


def _lineage(episode: str, nodes: Sequence[Node], branch: int) -> dict[str, Any]:
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
    """What an episode says of itself: as its log said, where the session's model took no step."""
    last = branch.nodes[-1]
    if last.log is None:
        about = session.world.about(_seed(session, branch), branch.lineage)
    else:
        about = {**last.log, "lineage": branch.lineage}
    first, *noises = (node.noise for node in branch.nodes)
    # `noise` stands for all steps in logs of before `noises`, which has one for each.
    noise = noises[0] if noises else first
    return {**about, "noise": noise, "noises": noises, "origin": session.origin}


def _seed(session: Session, branch: _Branch) -> int | None:
    """The seed that an episode can be run again from; None where other noise came in."""
    alike = all(node.noise == session.tree[0].noise for node in branch.nodes)
    return session.seed if alike else None


def _name(number: int) -> str:
    return f"{number:07d}"
