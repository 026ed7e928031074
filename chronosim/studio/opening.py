"""Episodes from disk as a tree: one alone, or a data set whose lineages make it one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeGuard

from chronosim.episodes import EpisodeReader
from chronosim.errors import InvalidEpisode
from chronosim.simulator import noise_seed
from chronosim.studio.tree import Tree
from chronosim.types import Observation
from chronosim.whatif.making import took_steps

__all__ = ["lineage_of", "plant"]


def plant(
    readers: Sequence[EpisodeReader], identity: Mapping[str, Any], *, most: int = 2**30
) -> Tree:
    """Makes a tree of episodes, of which all but one are forks of others among them.

    Args:
        readers: The episodes.
        identity: Of the model that goes on from them; steps of any other keep what their log says.
        most: Bytes of frames that the tree may hold.

    Raises:
        InvalidEpisode: They are no tree: several are forks of none here, or of a step that is not
            there; or what they hold is damaged.
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
    tree = Tree(roots[0].observation(0), _noise(roots[0]), most=most)
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
    """What an episode says of the one that it forked from; None where it is no fork."""
    lineage = about.get("lineage")
    return lineage if isinstance(lineage, Mapping) else None


def _parent(reader: EpisodeReader) -> tuple[str, int]:
    """Name and step of what an episode forked from; "" where it is no fork."""
    lineage = lineage_of(reader.about)
    if lineage is None:
        return "", 0
    try:
        return str(lineage["episode"]), int(lineage["step"])
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidEpisode(f"{reader.path} does not say where it forked") from error


def _append(tree: Tree, at: int, reader: EpisodeReader, identity: Mapping[str, Any]) -> list[int]:
    """Lets an episode's steps grow from a moment; gives the number of each of its moments."""
    height, width = reader.frame_size
    if reader.steps:  # an episode may be of hours: before it is read
        tree.check_room(int(reader.lengths.sum()) * height * width * 3)
    numbers, noises, depth = [at], _noises(reader), tree[at].observation.step
    log = None if took_steps(identity, reader.about) else reader.about
    for step, noise in zip(reader, noises, strict=True):
        after = Observation(step.after.frame, step.after.state, depth + len(numbers))
        node = tree.add(numbers[-1], replace(step, after=after), noise, log)
        numbers.append(node.number)
    return numbers


def _noise(reader: EpisodeReader) -> int:
    """What the noise of further steps follows from: as the log says, or else from its seed."""
    told, seed = reader.about.get("noise"), reader.about.get("seed")
    if _is_noise(told):
        return told
    return noise_seed(seed if type(seed) is int and seed >= 0 else 0, 0)


def _noises(reader: EpisodeReader) -> list[int]:
    """What the noise of each step follows from; one for all of them in logs that do not say."""
    told = reader.about.get("noises")
    if isinstance(told, list) and len(told) == reader.steps and all(map(_is_noise, told)):
        return told
    return [_noise(reader)] * reader.steps


def _is_noise(told: Any) -> TypeGuard[int]:
    return type(told) is int and 0 <= told < 2**63
