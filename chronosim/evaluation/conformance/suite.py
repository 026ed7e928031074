"""Runs any world model through what chronosim expects of one, and measures each point."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from chronosim.evaluation.conformance import checks
from chronosim.evaluation.conformance.checks import Answers, Check
from chronosim.evaluation.reporting.section import Table
from chronosim.protocols import WorldModel
from chronosim.types import EditPrompt

__all__ = ["Check", "Conformance", "check_conformance"]


@dataclass(frozen=True, slots=True)
class Conformance:
    """What the suite found.

    Attributes:
        identity: The model's.
        checks: In the order in which they were made.
    """

    identity: Mapping[str, Any]
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return all(check.passed is not False for check in self.checks)

    @property
    def table(self) -> Table:
        """A row for each check."""
        rows = tuple((c.name, _word(c.passed), c.measured, c.meaning) for c in self.checks)
        return Table(("check", "", "measured", "what it means"), rows, "")

    def values(self) -> dict[str, Any]:
        """Gives everything as JSON values."""
        return {
            "passed": self.passed,
            "model": dict(self.identity),
            "checks": {check.name: asdict(check) for check in self.checks},
        }


def check_conformance(
    model: WorldModel,
    prompts: Sequence[EditPrompt],
    *,
    tolerance: float = 0.0,
    steps: int = 500,
    growth: float = 50.0,
    progress: Callable[[str], None] = lambda name: None,
) -> Conformance:
    """Runs a world model through every check; a check that cannot be made has failed.

    Args:
        model: The world model.
        prompts: Two or more that it is meant to understand, of different frames and words, such
            that something moves.
        tolerance: By how many grey levels a pixel may differ between a prompt alone and in a call
            (bf16 on a GPU: up to 3).
        steps: Predictions during which the memory is watched, each fed with the last one's frame;
            0: it is not watched.
        growth: MB that it may grow by meanwhile.
        progress: Called with the name of each check as it begins.

    Returns:
        What was found.
    """
    answers = Answers(model, prompts)
    suite: list[tuple[str, Callable[[], Check]]] = [
        ("contract", lambda: checks.check_contract(model, prompts, tolerance)),
        ("determinism", lambda: checks.check_determinism(answers)),
        ("batch invariance", lambda: checks.check_batch(answers, tolerance)),
        ("seeds", lambda: checks.check_seeds(answers)),
        ("movement", lambda: checks.check_movement(answers)),
        ("words", lambda: checks.check_words(answers)),
        ("trajectory", lambda: checks.check_trajectory(answers)),
        ("latency", lambda: checks.check_latency(answers)),
    ]
    if steps:
        suite.append(("memory", lambda: checks.check_memory(model, prompts, steps, growth)))
    found: list[Check] = []
    for name, check in suite:
        progress(name)
        try:
            found.append(check())
        except Exception as error:  # somebody else's model may raise anything
            said = " ".join(str(error).split()) or type(error).__name__
            found.append(Check(name, False, "error", f"It could not be checked: {said}"))
    return Conformance(_identity(model), tuple(found))


def _identity(model: WorldModel) -> dict[str, Any]:
    try:
        identity = dict(model.identity)
        json.dumps(identity)
    except Exception as error:  # the contract's check has said so already
        return {"name": type(model).__name__, "error": str(error)}
    return identity


def _word(passed: bool | None) -> str:
    return "-" if passed is None else "pass" if passed else "FAIL"
