"""How policies are asked: by rows, in chunks, one episode each; and what is made into a policy."""

from __future__ import annotations

import copy
import inspect
import random
import re
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from chronosim.errors import InvalidConfig, ResetNeeded
from chronosim.protocols import Policy
from chronosim.types import Chunk, Observation

Act = Callable[[Observation], Any]
"""Who acts in one episode: from an observation to an action."""


def as_policy(policy: Any) -> Policy:
    """Makes a policy of whatever can act.

    Args:
        policy: A `Policy`, given back as it is. A class, or a `functools.partial` of one: made
            anew for each episode, with its `seed` where it takes one. Anything else that gives an
            action when called with an observation: in each episode a copy of it acts, whose plain
            values (numbers, lists, arrays, random generators) are its own, while what is costly
            (networks, connections) is shared.

    Raises:
        InvalidConfig: It is none of these.
    """
    made = policy.func if isinstance(policy, partial) else policy
    if isinstance(made, type) and not hasattr(made, "act"):
        return PerEpisode(partial(_make, policy), policy_name(policy))
    if isinstance(made, type):
        policy = policy()
    if isinstance(policy, Policy):
        return policy
    if not callable(policy):
        raise InvalidConfig(
            "a policy has identity, begin and act, or gives an action when it is called with an "
            f"observation: {policy!r} does neither"
        )
    return PerEpisode(partial(_copied, policy), policy_name(policy))


def act_alone(policy: Any, seed: int, *, instruction: str = "") -> Act:
    """Begins an episode of a policy that nobody else asks, and gives who acts in it.

    Args:
        policy: As of `as_policy`.
        seed: Of the episode.
        instruction: What the scenario asks, in words.
    """
    if isinstance(policy, RowByRow):
        return policy.for_episode(seed)
    acting = Unchunked(as_policy(policy))
    acting.begin({0: seed}, instruction=instruction)
    return partial(_act, acting)


class RowByRow(ABC):
    """A policy that acts when it is called with an observation, and is made anew for each row.

    Called itself it acts in one episode. As a `Policy` it acts in many: each row that begins gets
    one of its own, which differs by the row's seed alone.
    """

    @property
    def identity(self) -> dict[str, Any]:
        """Its settings."""
        return {"name": policy_name(self)}

    def begin(self, seeds: Mapping[int, int], *, instruction: str = "") -> None:
        """Begins an episode in some rows."""
        for row, seed in seeds.items():
            self._rows[row] = self.for_episode(seed)

    def act(self, observations: Sequence[Observation], rows: Sequence[int]) -> list[Any]:
        """Chooses for some rows.

        Raises:
            ResetNeeded: No episode was begun in a row.
        """
        for row in rows:
            if row not in self._rows:
                raise ResetNeeded(f"no episode was begun in row {row}: call begin before act")
        return [
            self._rows[row](observation)
            for observation, row in zip(observations, rows, strict=True)
        ]

    def for_episode(self, seed: int) -> Act:
        """Makes who acts in one episode: the same with another seed, and nothing remembered."""
        assert is_dataclass(self)
        seeded = {"seed": seed} if any(one.name == "seed" for one in fields(self)) else {}
        return replace(self, **seeded)

    @abstractmethod
    def __call__(self, observation: Observation) -> Any:
        """Chooses an action."""

    @property
    def _rows(self) -> dict[int, Act]:
        rows: dict[int, Act] = self.__dict__.setdefault("_acting", {})  # it may be frozen
        return rows


class PerEpisode:
    """A policy of which each episode gets one of its own.

    Args:
        make: Makes it from the episode's seed: called with an observation it gives an action.
        name: For the log.
    """

    def __init__(self, make: Callable[[int], Act], name: str) -> None:
        self._make, self._name = make, name
        self._rows: dict[int, Act] = {}

    @property
    def identity(self) -> dict[str, Any]:
        """Its name."""
        return {"name": self._name}

    def begin(self, seeds: Mapping[int, int], *, instruction: str = "") -> None:
        """Makes who acts in some rows."""
        self._rows |= {row: self._make(seed) for row, seed in seeds.items()}

    def act(self, observations: Sequence[Observation], rows: Sequence[int]) -> list[Any]:
        """Asks each row's own."""
        return [self._rows[row](one) for row, one in zip(rows, observations, strict=True)]


class Unchunked:
    """A policy that gives one action for each row, chunk by chunk of another's.

    Args:
        policy: The other.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._left: dict[int, deque[Any]] = {}

    @property
    def identity(self) -> Mapping[str, Any]:
        """The other's."""
        return self._policy.identity

    def begin(self, seeds: Mapping[int, int], *, instruction: str = "") -> None:
        """Begins an episode in some rows; what is left of their chunks is dropped."""
        for row in seeds:
            self._left.pop(row, None)
        self._policy.begin(seeds, instruction=instruction)

    def act(self, observations: Sequence[Observation], rows: Sequence[int]) -> list[Any]:
        """Gives the next action of each row, and asks only for rows that have none left.

        Raises:
            InvalidConfig: The policy does not answer each row once.
        """
        seen = dict(zip(rows, observations, strict=True))
        empty = [row for row in rows if not self._left.get(row)]
        answers = self._policy.act([seen[row] for row in empty], empty) if empty else []
        if len(answers) != len(empty):
            raise InvalidConfig(
                f"{self.identity['name']} gave {len(answers)} answers for {len(empty)} rows; a "
                "policy must answer each row once"
            )
        for row, answer in zip(empty, answers, strict=True):
            self._left[row] = deque(answer.actions if isinstance(answer, Chunk) else [answer])
        return [self._left[row].popleft() for row in rows]


def policy_name(policy: object) -> str:
    """Names a policy for a log: by its repr, or by its type or its function where that is none.

    No name holds an address in memory or the seed of one episode: equal runs have equal names.
    """
    if isinstance(policy, partial):
        named = (f"{name}={value!r}" for name, value in policy.keywords.items())
        given = ", ".join([*map(repr, policy.args), *named])
        name = f"{policy_name(policy.func)}({given})" if given else policy_name(policy.func)
    elif inspect.isroutine(policy) or isinstance(policy, type):
        name = policy.__qualname__
    elif isinstance(policy, RowByRow) and is_dataclass(policy):
        shown = (one.name for one in fields(policy) if one.repr and one.name != "seed")
        given = ", ".join(f"{name}={getattr(policy, name)!r}" for name in shown)
        name = f"{type(policy).__qualname__}({given})"
    elif type(policy).__repr__ is object.__repr__:
        name = type(policy).__qualname__
    else:
        name = repr(policy)
    return re.sub(r" at 0x[0-9a-f]+", "", name)


def _act(policy: Unchunked, observation: Observation) -> Any:
    return policy.act([observation], [0])[0]


def _make(maker: Callable[..., Act], seed: int) -> Act:
    """Makes a class's object for an episode."""
    takes = "seed" in inspect.signature(maker).parameters
    bound = isinstance(maker, partial) and "seed" in maker.keywords
    return maker(seed=seed) if takes and not bound else maker()


def _copied(policy: Act, seed: int) -> Act:
    """Who acts in an episode: what it remembers is its own, what it holds is shared."""
    if inspect.isroutine(policy) or isinstance(policy, partial):
        return policy
    own = copy.copy(policy)
    for name in (*getattr(own, "__dict__", ()), *getattr(type(own), "__slots__", ())):
        if hasattr(own, name):
            object.__setattr__(own, name, _own(getattr(own, name)))
    return own


def _own(value: Any) -> Any:
    """A copy of a plain value; anything else is given back."""
    if isinstance(value, np.ndarray | np.random.Generator | np.random.RandomState | random.Random):
        return copy.deepcopy(value)
    if type(value) in (list, set):
        return type(value)(map(_own, value))
    if isinstance(value, deque):
        return deque(map(_own, value), value.maxlen)
    if type(value) is dict:
        return {name: _own(one) for name, one in value.items()}
    return value
