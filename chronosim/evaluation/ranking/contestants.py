"""The policies to be ranked: each with a name, a make, and how it is made anew for each episode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from hydra.errors import HydraException
from hydra.utils import instantiate
from omegaconf import OmegaConf

from chronosim.config import find_own
from chronosim.errors import InvalidConfig
from chronosim.evaluation.truth.reference import Policy

__all__ = ["Cloning", "Contestant", "check_contestants", "read_contestants"]


@dataclass(frozen=True, slots=True)
class Cloning:
    """How a network learns to act: from recorded frames, by the actions of a teacher.

    Attributes:
        teacher: Makes from a seed the policy whose actions are learned, called on the recorded
            observations; None: the actions that were recorded.
        episodes: How many of the recorded episodes it learns from.
        width: Channels of its first layer.
        epochs: Passes over the data.
        seed: Of its first weights and the order of the data.
    """

    teacher: Any = None
    episodes: int = 40
    width: int = 16
    epochs: int = 10
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Contestant:
    """A policy to be ranked.

    Attributes:
        name: Its name, unique.
        make: What kind it is: policies of one lineage, such as one script with several handicaps,
            share a make and count once where makes are counted.
        policy: Makes it for an episode, from a seed; pickled, if there are processes. None: a
            network that is yet to learn, by `cloning`.
        cloning: How that is done.
    """

    name: str
    make: str
    policy: Any = None
    cloning: Cloning | None = None


def read_contestants(settings: Mapping[str, Any], prompter: Any) -> list[Contestant]:
    """Reads contestants from settings, as `scenarios/conf/contestants/` has them.

    Args:
        settings: Of each contestant, by its name: `make`, and either `policy`, an object by its
            `_target_` (`seed: ${seed}` in it is each episode's own, `${prompter}` the prompter), or
            `cloning`, settings of `Cloning` whose `teacher` is such an object.
        prompter: Settings of the prompter, for the policies that draw from its actions.

    Raises:
        InvalidConfig: A contestant cannot be made of its settings.
    """
    found = []
    for name, given in settings.items():
        if not isinstance(given, Mapping) or "make" not in given:
            raise InvalidConfig(f"contestant {name!r} needs a make, and a policy or a cloning")
        kinds = {*given} - {"make"}
        if kinds == {"policy"}:
            make_policy = _maker(given["policy"], prompter, name)
            make_policy(0)  # so that what is wrong is one sentence here
            found.append(Contestant(name, str(given["make"]), make_policy))
        elif kinds == {"cloning"}:
            found.append(
                Contestant(name, str(given["make"]), None, _cloning(given, prompter, name))
            )
        else:
            raise InvalidConfig(
                f"contestant {name!r} needs a policy or a cloning, beside its make, "
                f"not {', '.join(sorted(map(str, kinds))) or 'nothing'}"
            )
    return found


def check_contestants(contestants: Sequence[Contestant]) -> None:
    """Checks that names are unique and can be names of files.

    Raises:
        InvalidConfig: They are not.
    """
    names = [contestant.name for contestant in contestants]
    for name in names:
        if names.count(name) > 1 or not name.replace("-", "").replace("_", "").isalnum():
            raise InvalidConfig(
                f"contestants need names of their own, of letters, digits, - and _, not {name!r}"
            )


def _cloning(given: Mapping[str, Any], prompter: Any, name: str) -> Cloning:
    settings = dict(given["cloning"] or {})
    if settings.get("teacher") is not None:
        settings["teacher"] = _maker(settings["teacher"], prompter, name)
    try:
        return Cloning(**settings)
    except TypeError as error:
        raise InvalidConfig(f"contestant {name!r} cannot be cloned so: {error}") from error


def _maker(settings: Any, prompter: Any, name: str) -> Any:
    # Processes get the settings as text: the object is made anew for each episode.
    text = OmegaConf.to_yaml(OmegaConf.create({"policy": settings, "prompter": prompter}))
    return partial(_make, text, name)


def _make(text: str, name: str, seed: int) -> Policy:
    config: Any = OmegaConf.create(text)
    config["seed"] = seed
    try:
        policy: Any = instantiate(config["policy"], _convert_="all")
    except (HydraException, ImportError, TypeError) as error:
        if own := find_own(error):
            raise own from None
        raise InvalidConfig(f"contestant {name!r} cannot be made: {error}") from error
    if not callable(policy):
        raise InvalidConfig(f"contestant {name!r} is no policy but {type(policy).__name__}")
    return policy
