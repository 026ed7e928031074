"""Whether any world model keeps its contract and is honest: each point measured."""

from __future__ import annotations

import ctypes
import gc
import json
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import psutil

from chronosim.evaluation.report.section import Table
from chronosim.metrics.pixels import squared_error
from chronosim.protocols import Prompter, Scenario, WorldModel
from chronosim.testing import check_world_model
from chronosim.types import EditPrompt, Observation, Prediction


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

    def __str__(self) -> str:
        """The table, each check's sentence wrapped beside its number, and who conforms."""
        rows = self.table.rows
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = []
        for row in rows:
            cells = "  ".join(
                cell.ljust(width) for cell, width in zip(row[:3], widths, strict=True)
            )
            first, *rest = textwrap.wrap(row[3], 100 - len(cells)) or [""]
            lines += [f"{cells}  {first}", *(f"{' ' * len(cells)}  {line}" for line in rest)]
        failed = ", ".join(check.name for check in self.checks if check.passed is False)
        name = self.identity.get("name")
        return "\n".join(
            [*lines, "", f"{name} fails: {failed}." if failed else f"{name} conforms."]
        )

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
        ("contract", lambda: _contract(model, prompts, tolerance)),
        ("determinism", lambda: _determinism(answers)),
        ("batch invariance", lambda: _batch(answers, tolerance)),
        ("seeds", lambda: _seeds(answers)),
        ("movement", lambda: _movement(answers)),
        ("words", lambda: _words(answers)),
        ("trajectory", lambda: _trajectory(answers)),
        ("latency", lambda: _latency(answers)),
    ]
    if steps:
        suite.append(("memory", lambda: _memory(model, prompts, steps, growth)))
    found: list[Check] = []
    for name, check in suite:
        progress(name)
        try:
            found.append(check())
        except Exception as error:  # somebody else's model may raise anything
            said = " ".join(str(error).split()) or type(error).__name__
            found.append(Check(name, False, "error", f"It could not be checked: {said}"))
    return Conformance(_identity(model), tuple(found))


def draw_prompts(
    scenario: Scenario, prompter: Prompter, number: int = 8, *, seed: int = 0
) -> list[EditPrompt]:
    """Draws prompts to check a model by: beginnings of episodes with random actions.

    The second says what the first does not: few choices are drawn alike by chance, and nobody can
    tell by them whether words are heard.

    Args:
        scenario: Where episodes begin.
        prompter: Words the actions, which are drawn from its space.
        number: How many; 2 or more.
        seed: Of the first beginning, its action and its noise; each next one has the next.
    """
    space = prompter.action_space
    space.seed(seed)
    prompts: list[EditPrompt] = []
    for index in range(number):
        frame, values = scenario.begin(np.random.default_rng(seed + index))
        observation = Observation(frame, prompter.begin(values))
        text, _ = prompter(observation, space.sample())
        for _ in range(_DRAWS if index == 1 else 0):
            if text != prompts[0].text:
                break
            text, _ = prompter(observation, space.sample())
        prompts.append(EditPrompt(frame, text, seed + index))
    return prompts


def _identity(model: WorldModel) -> dict[str, Any]:
    try:
        identity = dict(model.identity)
        json.dumps(identity)
    except Exception as error:  # the contract's check has said so already
        return {"name": type(model).__name__, "error": str(error)}
    return identity


def _word(passed: bool | None) -> str:
    return "-" if passed is None else "pass" if passed else "FAIL"


_DRAWS = 100  # until two prompts differ
_TIMED = 20  # calls at least
_STILL = 0.5  # grey levels, RMS: below it nothing is to be seen


@dataclass(frozen=True, slots=True)
class Check:
    """One point of the suite.

    Attributes:
        name: "contract", "determinism", ...
        passed: Whether the model is as it should be; None: only measured, nothing is asked.
        measured: The number, in words.
        meaning: One sentence: what was measured, and what would be right.
    """

    name: str
    passed: bool | None
    measured: str
    meaning: str


class Answers:
    """What the model says to the prompts, asked once for all checks."""

    def __init__(self, model: WorldModel, prompts: Sequence[EditPrompt]) -> None:
        self.model, self.prompts = model, prompts

    @cached_property
    def together(self) -> list[Prediction]:
        """All in one call."""
        return self.model.predict(self.prompts)

    @cached_property
    def alone(self) -> tuple[list[Prediction], list[float]]:
        """One by one, and the seconds of each; over again until there are enough to time."""
        predictions, seconds = [], []
        for index in range(max(_TIMED, len(self.prompts))):
            began = time.perf_counter()
            predictions += self.model.predict([self.prompts[index % len(self.prompts)]])
            seconds.append(time.perf_counter() - began)
        return predictions[: len(self.prompts)], seconds

    def moved_by(self, others: Sequence[EditPrompt]) -> float:
        """Grey levels (RMS) by which outcomes differ from those of other prompts."""
        pairs = zip(self.together, self.model.predict(others), strict=True)
        return float(np.mean([squared_error(a.frame, b.frame) ** 0.5 for a, b in pairs]))


def _contract(model: WorldModel, prompts: Sequence[EditPrompt], tolerance: float) -> Check:
    try:
        check_world_model(model, prompts, tolerance=tolerance)
    except AssertionError as error:
        return Check("contract", False, "broken", f"{str(error).capitalize()} does not hold.")
    meaning = "Everything that chronosim.testing.check_world_model asks for holds."
    return Check("contract", True, f"{len(prompts)} prompts", meaning)


def _determinism(answers: Answers) -> Check:
    worst = _apart(answers.together, answers.model.predict(answers.prompts))
    meaning = "The same prompts and seeds twice: grey levels by which a pixel differs, 0 is right."
    return Check("determinism", worst == 0, f"{worst:g}", meaning)


def _batch(answers: Answers, tolerance: float) -> Check:
    worst = _apart(answers.together, answers.alone[0])
    meaning = (
        f"Each prompt alone and in a call of {len(answers.prompts)}: grey levels by which a pixel "
        f"differs, at most {tolerance:g} is right."
    )
    return Check("batch invariance", worst <= tolerance, f"{worst:g}", meaning)


def _seeds(answers: Answers) -> Check:
    others = [replace(each, seed=(each.seed + 1_000_003) % 2**63) for each in answers.prompts]
    differ = answers.moved_by(others)
    if differ == 0:
        return Check("seeds", True, "0", "No seed changes an outcome: the model is deterministic.")
    meaning = "Another seed is another noise: grey levels (RMS) by which outcomes then differ."
    return Check("seeds", True, f"{differ:.3g}", meaning)


def _movement(answers: Answers) -> Check:
    pairs = zip(answers.prompts, answers.together, strict=True)
    moved = float(np.mean([squared_error(p.frame, a.frame) ** 0.5 for p, a in pairs]))
    meaning = "Grey levels (RMS) by which an outcome differs from the frame seen"
    return _enough("movement", moved, meaning, "the picture stands still")


def _words(answers: Answers) -> Check:
    prompts = answers.prompts
    turned = zip(prompts, [*prompts[1:], *prompts[:1]], strict=True)
    differ = answers.moved_by([replace(prompt, text=other.text) for prompt, other in turned])
    meaning = (
        "Grey levels (RMS) by which outcomes differ when the prompts' words are swapped, all else "
        "being the same"
    )
    return _enough("words", differ, meaning, "actions are ignored")


def _enough(name: str, differ: float, meaning: str, fault: str) -> Check:
    end = f": {fault}." if differ < _STILL else f"; more than {_STILL:g} is right."
    return Check(name, differ >= _STILL, f"{differ:.3g}", meaning + end)


def _trajectory(answers: Answers) -> Check:
    known = zip(answers.prompts, answers.together, strict=True)
    moves = [(p.frame, a.trajectory) for p, a in known if squared_error(p.frame, a.frame) > 1]
    long = [(frame, way) for frame, way in moves if len(way) > 1]
    if not long:
        meaning = (
            "It shows the outcome alone, which is legal; there is no way to be honest about."
            if moves
            else "Nothing moved at any prompt, so no way could be judged."
        )
        return Check("trajectory", None, "1 frame" if moves else "still", meaning)
    honest = [squared_error(frame, way[0]) < squared_error(frame, way[-1]) for frame, way in long]
    share = float(np.mean(honest))
    meaning = "How often a trajectory begins nearer to the frame seen than it ends" + (
        ": the trajectory runs backwards."
        if share <= 0.5
        else ", as the way to an outcome does; more than half is right."
    )
    return Check("trajectory", share > 0.5, f"{share:.0%}", meaning)


def _latency(answers: Answers) -> Check:
    seconds = answers.alone[1]
    middle, late = np.percentile(seconds, (50, 95))
    meaning = (
        f"Seconds for one prompt: half of {len(seconds)} are faster than the first number, 95% "
        "than the second."
    )
    return Check("latency", None, f"{middle:.3g} / {late:.3g} s", meaning)


def _memory(model: WorldModel, prompts: Sequence[EditPrompt], steps: int, most: float) -> Check:
    grown = memory_growth(model, prompts[0], steps)
    meaning = (
        f"MB by which this process grows over {steps} steps, each fed with the last one's frame; "
        f"at most {most:g} is right."
    )
    return Check("memory", grown <= most, f"{grown:+.1f} MB", meaning)


def _apart(ours: Sequence[Prediction], theirs: Sequence[Prediction]) -> float:
    """The largest difference of a pixel; infinite where shapes differ."""
    worst = 0.0
    for a, b in zip(ours, theirs, strict=True):
        if a.trajectory.shape != b.trajectory.shape:
            return float("inf")
        worst = max(worst, float(np.abs(a.trajectory.astype(np.int16) - b.trajectory).max()))
    return worst


_WARM_UP = 20  # steps in which caches fill before anything counts


def memory_growth(model: WorldModel, prompt: EditPrompt, steps: int) -> float:
    """Measures the growth of this process over many steps.

    Args:
        model: Fed with its own frames, the words staying the same, the seeds counting up.
        prompt: Where it begins.
        steps: How many count; 20 before them fill the caches.

    Returns:
        Resident memory after the last step less that before the first, MB (10^6 bytes). Where the
        C library cannot give freed memory back, some noise is in it.
    """
    process, frame, before = psutil.Process(), prompt.frame, 0
    for step in range(_WARM_UP + steps):
        if step == _WARM_UP:
            before = _resident(process)
        frame = model.predict([EditPrompt(frame, prompt.text, prompt.seed + step)])[0].frame.copy()
    return (_resident(process) - before) / 1e6


def _resident(process: psutil.Process) -> int:
    gc.collect()
    with suppress(AttributeError, OSError, TypeError):  # glibc's alone: what is free, but kept
        ctypes.CDLL(None).malloc_trim(0)
    return int(process.memory_info().rss)
