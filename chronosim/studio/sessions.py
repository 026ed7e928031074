"""Sessions: a world, its tree of moments and the one looked at; a limited number of them."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import numpy as np

from chronosim.errors import ChronosimError, InvalidConfig, ResetNeeded
from chronosim.seeds import noise_seed, redrawn_noise
from chronosim.studio.controls import describe_controls, read_action, suggest_actions
from chronosim.studio.tree import SessionNode, SessionTree
from chronosim.studio.workshop import Job
from chronosim.studio.worlds import ChosenWorld
from chronosim.types import EditPrompt

_IDLE = 600.0  # seconds after which a session may make room for another


class NoSession(ChronosimError, LookupError):
    """Raised when there is no such session, or no longer."""


class NoRoom(ChronosimError, RuntimeError):
    """Raised when all sessions that a studio keeps are in use."""


class SessionBusy(ChronosimError, RuntimeError):
    """Raised when a session is asked for something while a job of it runs."""


@dataclass(slots=True, eq=False)
class Desk:
    """A session's place in the studio.

    Attributes:
        key: Its id: whoever knows it, has the session.
        session: None until its world is made.
        job: The current or last job; None: there was none.
        used: When a page last asked for it.
    """

    key: str
    session: Session | None = None
    job: Job | None = None
    used: float = field(default_factory=monotonic)

    @property
    def busy(self) -> bool:
        """Whether a job of it runs."""
        return self.job is not None and not self.job.finished.is_set()

    def take(self, job: Job) -> None:
        """Gives it a job.

        Raises:
            SessionBusy: Another one runs.
        """
        if self.busy:
            assert self.job is not None
            raise SessionBusy(f"this session is still at something: {self.job.doing}")
        self.job = job

    def opened(self) -> Session:
        """Gives its session.

        Raises:
            NoSession: There is no world, or not yet.
        """
        if self.session is None:
            raise NoSession("this session has no world yet: begin one")
        return self.session


class Sessions:
    """Keeps the sessions; to be used in the event loop.

    Args:
        most: How many are kept; the one unused for longest makes room.
        clock: Seconds, for tests.
    """

    def __init__(self, most: int, *, clock: Callable[[], float] = monotonic) -> None:
        self._most, self._clock = most, clock
        self._desks: dict[str, Desk] = {}

    def __len__(self) -> int:
        return len(self._desks)

    def new(self) -> Desk:
        """Makes room for a session.

        Raises:
            NoRoom: All are in use.
        """
        if len(self._desks) >= self._most:
            self._drop_idle()
        desk = Desk(secrets.token_urlsafe(18), used=self._clock())
        self._desks[desk.key] = desk
        return desk

    def leave(self, key: str) -> None:
        """Notes that a page needs a session no more: it is the first to make room."""
        if key in self._desks:
            self._desks[key].used = -math.inf

    def get(self, key: str) -> Desk:
        """Gives a session's desk, and notes that it is in use.

        Raises:
            NoSession: There is no session of that id.
        """
        desk = self._desks.get(key)
        if desk is None:
            raise NoSession(
                "the studio does not know this session: it was restarted, or made room for others; "
                "what was saved is in its folder, and can be opened"
            )
        desk.used = self._clock()
        return desk

    def drop(self, desk: Desk) -> None:
        """Forgets a session."""
        self._desks.pop(desk.key, None)

    def _drop_idle(self) -> None:
        waiting = [desk for desk in self._desks.values() if not desk.busy]
        oldest = min(waiting, key=lambda desk: desk.used, default=None)
        if oldest is None or self._clock() - oldest.used < _IDLE:
            raise NoRoom(
                f"all {self._most} sessions of this studio are in use: try again later, or start "
                "it with more (sessions=...)"
            )
        del self._desks[oldest.key]


_FUTURES, _STEPS = 6, 20  # futures asked for at once, and steps of each


@dataclass(slots=True)
class _Future:
    """A branch while it grows: where it stands, its action and its noise."""

    at: SessionNode
    action: Any
    noise: int


class Session:
    """A world and the steps taken in it; its methods are called one at a time.

    A step that fails leaves everything as it was. The same action from the same moment under the
    same noise is not predicted again.

    Args:
        chosen: The world that answers, as it was chosen.
        tree: A beginning, or an episode that was opened.
        seed: The seed that the tree follows from; None: there is none.
        origin: Where the tree comes from, for people.

    Attributes:
        controls: The controls for its actions.
        at: Number of the moment looked at.
        noise: The seed that the noise of the next step follows from.
        version: Grows with every change, so that two pages on one session notice each other.
        saved: Where the session was saved last; None: never.

    Raises:
        InvalidConfig: There are no controls for the prompter's actions.
    """

    def __init__(
        self, chosen: ChosenWorld, tree: SessionTree, *, seed: int | None, origin: str
    ) -> None:
        self.chosen, self.tree = chosen, tree
        self.seed, self.origin = seed, origin
        self.controls = describe_controls(chosen.world.prompter, tree[0].observation)
        self.at = 0
        self.noise = tree[0].noise
        self.version = 1
        self.saved: str | None = None
        self._redrawn = 0

    def go(self, number: int) -> None:
        """Looks at a moment, from which steps go on.

        Raises:
            InvalidConfig: There is no such moment.
        """
        self.at, self.noise = number, self.tree[number].noise
        self.version += 1

    def redraw(self) -> None:
        """Draws new noise for the steps from here: the same action leads elsewhere."""
        self.noise = self._other_noise()
        self.version += 1

    def step(self, given: Any) -> None:
        """Takes an action from the moment looked at, and looks at the outcome.

        Args:
            given: The action, as a page sends it.

        Raises:
            ResetNeeded: The episode ended here.
            ChronosimError: As `World.step`.
        """
        action = read_action(self.chosen.world.prompter.action_space, given)
        future = _Future(self.tree[self.at], action, self.noise)
        _check_open(future.at)
        self._grow([future])
        self.go(future.at.number)

    def word(self, text: str) -> str:
        """Words an instruction out at the moment looked at, as the model's enhancer would.

        Raises:
            InvalidConfig: The model has none.
            ChronosimError: The enhancer gives no words.
        """
        word = getattr(self.chosen.world.model, "word", None)  # an `Enhanced` one has it
        if word is None:
            raise InvalidConfig(
                f"{self.chosen.model_name} has no enhancer: start the studio with model=enhanced"
            )
        [worded] = word([EditPrompt(self.tree[self.at].observation.frame, text, 0)])
        return str(worded)

    def futures(self, given: Sequence[Any], steps: int, *, redraw: bool) -> list[int]:
        """Holds each of several actions for some steps, side by side from the moment looked at.

        Args:
            given: The actions, as a page sends them.
            steps: How long each is held.
            redraw: Whether each future but the first has noise of its own; else all meet the same.

        Returns:
            Number of the last moment of each.

        Raises:
            InvalidConfig: Too many futures or steps.
            ResetNeeded: The episode ended here.
            ChronosimError: As `World.step`; what had been predicted before stays in the tree.
        """
        if not 1 <= len(given) <= _FUTURES or not 1 <= steps <= _STEPS:
            raise InvalidConfig(
                f"1 to {_FUTURES} futures of 1 to {_STEPS} steps can be asked for at once, "
                f"not {len(given)} of {steps}"
            )
        space = self.chosen.world.prompter.action_space
        actions = [read_action(space, action) for action in given]
        here = self.tree[self.at]
        _check_open(here)
        noises = [
            self._other_noise() if redraw and row else self.noise for row in range(len(given))
        ]
        grown = [_Future(here, *pair) for pair in zip(actions, noises, strict=True)]
        for _ in range(steps):
            self._grow([future for future in grown if not future.at.ended])
        self.go(grown[0].at.number)
        return [future.at.number for future in grown]

    def _grow(self, futures: Sequence[_Future]) -> None:
        """Moves each on by a step, by one call of the model."""
        asked = []
        for future in futures:
            known = self.tree.same(future.at.number, future.action, future.noise)
            if known is None:
                asked.append(future)
            else:
                future.at = known
        if not asked:
            return
        before = [future.at.observation for future in asked]
        size = max(math.prod(future.at.frames.shape) for future in asked)
        self.tree.check_room(size * len(asked))  # before the work, not after it
        taken = self.chosen.world.advance(
            before,
            [future.action for future in asked],
            seeds=[noise_seed(future.noise, future.at.observation.step) for future in asked],
        )
        for future, step in zip(asked, taken, strict=True):
            future.at = self.tree.add(future.at.number, step, future.noise)

    def _other_noise(self) -> int:
        # A tree that was opened may hold what was drawn before it was saved.
        known = {node.noise for node in self.tree.nodes}
        while True:
            self._redrawn += 1
            drawn = redrawn_noise(self.tree[0].noise, self._redrawn)
            if drawn not in known:
                return drawn


def _check_open(node: SessionNode) -> None:
    if node.ended:
        raise ResetNeeded(
            f"the episode ended at step {node.observation.step}: step back and take another way, "
            "or begin anew"
        )


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
    chosen, first = session.chosen, session.tree[0].observation
    return {
        "version": session.version,
        "world": {
            "scenario": chosen.scenario_name,
            "model": chosen.model_name,
            "seed": session.seed,
            "origin": session.origin,
            "height": first.frame.shape[0],
            "width": first.frame.shape[1],
            "seconds_per_step": chosen.world.prompter.seconds_per_step,
            "controls": session.controls,
            "enhanced": hasattr(chosen.world.model, "word"),
        },
        "at": session.at,
        "ideas": suggest_actions(chosen.world.prompter, session.tree[session.at].observation),
        "noise": str(session.noise),  # more digits than JavaScript's numbers have
        "saved": session.saved,
        "known": known,
        "nodes": [_node(node) for node in session.tree.nodes[known:]],
    }


def _node(node: SessionNode) -> dict[str, Any]:
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
