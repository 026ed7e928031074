"""The policies to be ranked: how each is made or learns, and the states in which they begin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from chronosim.errors import InvalidConfig
from chronosim.evaluation.truth import (
    Act,
    Recording,
    Reference,
    draw_each,
    draw_recordings,
    record,
)
from chronosim.policies import act_alone, as_policy
from chronosim.policies.cloned import Cloned, clone
from chronosim.progress import teller, watch
from chronosim.protocols import Policy
from chronosim.settings.parts import make
from chronosim.settings.typed import plain
from chronosim.types import Observation


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
        policy: A `Policy`, or what makes one's actions for an episode, from a seed; pickled, if
            there are processes. None: a network that is yet to learn, by `cloning`.
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
            policy = _policy(given["policy"], prompter, name)
            found.append(Contestant(name, str(given["make"]), policy))
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


def _policy(settings: Any, prompter: Any, name: str) -> Any:
    """A policy, made once; what is none and follows the seed is made for each episode."""
    maker = _maker(settings, prompter, name)
    made = maker(0)
    if not isinstance(made, Policy) and "${seed}" in maker.args[0]:
        return maker
    return as_policy(made)


def _maker(settings: Any, prompter: Any, name: str) -> Any:
    # Processes get the settings as text: the object is made anew for each episode.
    text = OmegaConf.to_yaml(OmegaConf.create({"policy": settings, "prompter": prompter}))
    return partial(_make, text, name)


def _make(text: str, name: str, seed: int) -> Any:
    config: Any = OmegaConf.create(text)
    config["seed"] = seed
    policy: Any = make(plain(config)["policy"], f"contestant {name!r}")
    if not callable(policy) and not isinstance(policy, Policy):
        raise InvalidConfig(f"contestant {name!r} is no policy but {type(policy).__name__}")
    return policy


def learn(
    contestants: Sequence[Contestant],
    *,
    reference: Reference,
    folder: Path,
    steps: int,
    first_seed: int,
    workers: int = 1,
) -> list[Contestant]:
    """Lets every contestant learn that has to; what has been learned in `folder` is kept.

    The reference's own policy acts, with its whims, and so comes to places that a good driver never
    sees; the teacher says for each frame what it would have done there, and that is learned.

    Args:
        contestants: All; those that have a policy are given back as they are.
        reference: Where recordings come from, and who acts in them.
        folder: Of the weights.
        steps: Held actions of a recording.
        first_seed: Of the recordings; keep it away from the starts.
        workers: Processes that record.

    Raises:
        InvalidConfig: The actions are no numbers, or recordings end too early.
    """
    paths = {one.name: folder / f"{one.name}.safetensors" for one in contestants if one.cloning}
    waiting = [one for one in contestants if one.name in paths and not paths[one.name].is_file()]
    if waiting:
        episodes = max(one.cloning.episodes for one in waiting if one.cloning)
        drawn = draw_recordings(
            episodes, reference=reference, steps=steps, first_seed=first_seed, workers=workers
        )
        recordings = list(watch(drawn, "recording for clones", episodes))
        for one in waiting:
            _learn(one, recordings, reference, paths[one.name])
    return [
        replace(one, policy=Cloned(paths[one.name])) if one.name in paths else one
        for one in contestants
    ]


def _learn(
    one: Contestant, recordings: Sequence[Recording], reference: Reference, path: Path
) -> None:
    assert one.cloning is not None
    settings, chosen = one.cloning, recordings[: one.cloning.episodes]
    seen = [observation for recording in chosen for observation in recording.observations[:-1]]
    clone(
        path,
        np.stack([observation.frame for observation in seen]),
        np.stack([observation.state for observation in seen]),
        np.stack([np.asarray(action, np.float32) for action in _shown(one, chosen)]),
        space=reference.prompter.action_space,
        width=settings.width,
        epochs=settings.epochs,
        seed=settings.seed,
        progress=teller(f"cloning {one.name}", settings.epochs),
    )


def _shown(one: Contestant, recordings: Sequence[Recording]) -> list[Any]:
    """What is to be learned: what was done, or what the teacher would have done."""
    assert one.cloning is not None
    actions: list[Any] = []
    for recording in recordings:
        if one.cloning.teacher is None:
            actions += recording.actions
        else:
            teacher = act_alone(one.cloning.teacher(recording.seed), recording.seed)
            actions += [teacher(observation) for observation in recording.observations[:-1]]
    return actions


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """A state of the reference simulator in which every policy begins once.

    Attributes:
        seed: Of the simulator's episode, and of a policy that draws.
        history: The actions that lead there from its first frame.
        observation: What is seen there; steps are counted from here.
    """

    seed: int
    history: tuple[Any, ...]
    observation: Observation


def draw_starts(
    number: int,
    *,
    reference: Reference,
    lead_in: Act | None = None,
    longest: int = 0,
    first_seed: int,
    workers: int = 1,
) -> Iterator[Start]:
    """Draws starts from fresh episodes, one from each.

    Args:
        number: How many.
        reference: Where; its own policy is not asked.
        lead_in: Who acts from the episode's first frame to the start, so that not all episodes
            begin alike (every car stands still on a straight at first); None: nobody.
        longest: The lead-in takes from half as many held actions to as many, drawn by the seed.
        first_seed: Seeds count up from here; those of episodes that end too early are left out.
        workers: Processes; the starts are the same whatever their number.

    Raises:
        InvalidConfig: 100 episodes in a row end within the lead-in.
    """
    draw = partial(_draw, reference, lead_in, longest if lead_in is not None else 0)
    return draw_each(draw, number, first_seed=first_seed, workers=workers)


def _draw(reference: Reference, lead_in: Act | None, longest: int, seed: int) -> Start | None:
    steps = int(np.random.default_rng(seed).integers((longest + 1) // 2, longest + 1))
    simulator = reference.simulator()
    if lead_in is None or steps == 0:
        frame, values = simulator.reset(seed)
        return Start(seed, (), Observation(frame, reference.prompter.begin(values)))
    way = record(simulator, reference.prompter, lead_in, seed, steps)
    if way is None:
        return None
    last = way.observations[-1]
    return Start(seed, way.actions, Observation(last.frame, last.state))
