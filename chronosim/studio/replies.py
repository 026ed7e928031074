"""What a page is told of a session's state, as JSON."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chronosim.studio.session import Session
from chronosim.studio.sessions import Desk
from chronosim.studio.tree import Node

__all__ = ["state_of"]


def state_of(desk: Desk, known: int = 0) -> dict[str, Any]:
    """Gives a session as a page needs it.

    Args:
        desk: The session's.
        known: How many moments the page knows already: only later ones are told.

    Returns:
        JSON values; `world` is None as long as there is no world yet.
    """
    job = desk.job
    state = {
        "session": desk.key,
        "busy": job.progress() if job is not None and desk.busy else None,
        "problem": job.problem if job is not None and not desk.busy else None,
        "world": None,
    }
    return state if desk.session is None else {**state, **_opened(desk.session, known)}


def _opened(session: Session, known: int) -> dict[str, Any]:
    world, first = session.world, session.tree[0].observation
    prompter = world.simulator.prompter
    return {
        "version": session.version,
        "world": {
            "scenario": world.scenario_name,
            "model": world.model_name,
            "seed": session.seed,
            "origin": session.origin,
            "height": first.frame.shape[0],
            "width": first.frame.shape[1],
            "seconds_per_step": prompter.seconds_per_step,
            "controls": session.controls,
        },
        "at": session.at,
        "noise": str(session.noise),  # more digits than JavaScript's numbers have
        "saved": session.saved,
        "known": known,
        "nodes": [_node(node) for node in session.tree.nodes[known:]],
    }


def _node(node: Node) -> dict[str, Any]:
    told = {
        "number": node.number,
        "parent": node.parent,
        "depth": node.observation.step,
        "frames": len(node.frames),
        "state": [_number(value) for value in node.observation.state],
        "noise": str(node.noise),
        "ended": node.ended,
    }
    if node.step is None:
        return told
    return {
        **told,
        "action": _action(node.step.action),
        "text": node.step.text,
        "reward": _number(node.step.reward),
        "seconds": _number(node.step.latency),
    }


def _action(value: Any) -> Any:
    """An action as the page would send it: words, a whole number, or a list of numbers."""
    array = np.asarray(value)
    return [_number(one) for one in array.ravel()] if array.dtype.kind == "f" else array.tolist()


def _number(value: Any) -> float | None:
    """A number that JSON has a word for."""
    return float(value) if math.isfinite(value) else None
