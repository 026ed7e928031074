"""The parts that `chronosim evaluate` can be asked for, made of its settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from omegaconf import DictConfig, OmegaConf

from chronosim.commands.settings import make_part, whole_number
from chronosim.errors import InvalidConfig
from chronosim.evaluation import parts
from chronosim.evaluation.evidence import Evidence
from chronosim.evaluation.fidelity.sets import Networks
from chronosim.evaluation.ranking import Contest, read_contestants
from chronosim.evaluation.reporting.section import Section
from chronosim.metrics.distribution import load_i3d, load_inception
from chronosim.metrics.perceptual import load_alexnet

__all__ = ["NAMES", "REPORTED", "Part", "make_parts"]

Part = Callable[[Evidence], Section]
"""Makes a section of the evidence."""

NAMES = ("outcomes", "fidelity", "following", "ranking", "defects", "diagnosis")
"""All parts that can be asked for, in the order of the report."""

REPORTED = (*NAMES, "moved")
"""All sections of a report, in its order; what moves the ranking follows from two parts."""

_DEFAULT = ("outcomes", "fidelity", "following", "defects")  # those that take minutes


def make_parts(config: DictConfig) -> dict[str, Part]:
    """Makes the parts that the settings ask for, in the order of the report.

    Raises:
        InvalidConfig: There is no such part.
        ModelNotFound: A network's file is missing.
    """
    makers: Mapping[str, Callable[[DictConfig], Part]] = {
        "outcomes": lambda config: parts.outcomes,
        "fidelity": _fidelity,
        "following": _following,
        "ranking": _ranking,
        "defects": lambda config: parts.defects,
        "diagnosis": lambda config: parts.diagnosis,
        "moved": lambda config: partial(parts.moved, contest=_contest(config)),
    }
    names = _names(config)
    if {"ranking", "diagnosis"} <= set(names):
        names = (*names, "moved")
    return {name: makers[name](config) for name in names}


def _names(config: DictConfig) -> tuple[str, ...]:
    """The parts asked for, in the order of the report."""
    given: Any = config.parts
    names = OmegaConf.to_container(given) if OmegaConf.is_list(given) else given
    if names is None or names == "all":
        possible = NAMES if names == "all" else _DEFAULT
        return tuple(name for name in possible if _lack(config, name) is None)
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not names:
        raise InvalidConfig(f"parts must name some of {', '.join(NAMES)}, or all, not {given!r}")
    for name in names:
        if name not in NAMES:
            raise InvalidConfig(f"there is no part {name!r}; there are: {', '.join(NAMES)}, or all")
        if (lack := _lack(config, name)) is not None:
            raise InvalidConfig(f"the part {name} {lack}")
    return tuple(name for name in NAMES if name in names)


def _lack(config: DictConfig, name: str) -> str | None:
    """What keeps a part from being made; None: nothing."""
    recorded = config.episodes is not None
    if name == "ranking" and recorded:
        return "needs a reference simulator, in which policies act: leave episodes= out"
    if name == "ranking" and (config.scorer is None or not config.get("contestants")):
        return "needs a scorer and contestants: see scenarios/conf/judging and contestants"
    if name == "following" and not recorded and config.idle is None:
        return "needs idle, a policy that does nothing: see scenarios/conf/judging"
    return None


def _fidelity(config: DictConfig) -> Part:
    networks = Networks(
        lpips=None if config.lpips is None else load_alexnet(config.lpips),
        fid=None if config.fid is None else load_inception(config.fid),
        fvd=None if config.fvd is None else load_i3d(config.fvd),
    )
    return partial(parts.fidelity, networks=networks)


def _following(config: DictConfig) -> Part:
    idle = None if config.idle is None or config.episodes is not None else make_part(config, "idle")
    return partial(parts.followed, idle=idle, names=[str(name) for name in config.numbers])


def _ranking(config: DictConfig) -> Part:
    return partial(parts.ranked, contest=_contest(config))


def _contest(config: DictConfig) -> Callable[[Evidence], Contest]:
    settings: Any = OmegaConf.to_container(config.contestants, resolve=False)
    prompter = OmegaConf.to_container(config.prompter, resolve=True)
    return partial(
        parts.contest,
        contestants=read_contestants(settings, prompter),
        scorer=make_part(config, "scorer"),
        starts=whole_number(config, "starts", 2),
        horizon=whole_number(config, "horizon", 1),
        lead_in=None if config.lead_in is None else make_part(config, "lead_in"),
        longest=whole_number(config, "lead_steps", 0),
    )
