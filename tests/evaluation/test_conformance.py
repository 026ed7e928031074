import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from chronosim.evaluation.conformance import check_conformance, memory_growth
from chronosim.testing import EchoModel
from chronosim.types import EditPrompt, Prediction


@pytest.fixture
def prompts() -> list[EditPrompt]:
    frame = np.full((24, 24, 3), 20, np.uint8)
    frame[:, 3:7] = 220
    return [EditPrompt(frame, f"3 {moved}", seed) for seed, moved in enumerate((2, -2, 4, -4))]


def results(model: Any, prompts: list[EditPrompt], **settings: Any) -> dict[str, bool | None]:
    found = check_conformance(model, prompts, steps=settings.pop("steps", 0), **settings)
    assert json.loads(json.dumps(found.values())) == found.values()
    assert len(found.table.rows) == len(found.checks)
    return {check.name: check.passed for check in found.checks}


def test_a_whole_model_conforms(broken: Any, prompts: list[EditPrompt]) -> None:
    found = check_conformance(broken(), prompts, steps=5)
    assert found.passed
    assert found.identity["name"] == "whole"
    by_name = {check.name: check for check in found.checks}
    assert [*by_name] == [
        "contract", "determinism", "batch invariance", "seeds", "movement", "words", "trajectory",
        "latency", "memory",
    ]  # fmt: skip
    assert "deterministic" in by_name["seeds"].meaning
    assert by_name["trajectory"].measured == "100%"
    assert by_name["latency"].passed is None


@pytest.mark.parametrize(
    ("how", "fails", "said"),
    [
        ("ignores actions", ["words"], "actions are ignored"),
        ("stands still", ["movement", "words"], "the picture stands still"),
        ("runs backwards", ["trajectory"], "runs backwards"),
        ("changes its mind", ["contract", "determinism", "batch invariance"], "does not hold"),
    ],
)
def test_a_broken_one_is_caught_by_name(
    how: str, fails: list[str], said: str, broken: Any, prompts: list[EditPrompt]
) -> None:
    found = check_conformance(broken(how), prompts, steps=0)
    failed = [check for check in found.checks if check.passed is False]
    assert [check.name for check in failed] == fails
    assert said in " ".join(check.meaning for check in failed)
    assert not found.passed


def test_seeds_that_matter_are_measured(broken: Any, prompts: list[EditPrompt]) -> None:
    found = check_conformance(broken("reads seeds"), prompts, steps=0)
    [seeds] = [check for check in found.checks if check.name == "seeds"]
    assert seeds.passed
    assert float(seeds.measured) > 0


def test_rows_that_differ_in_a_batch_are_tolerated_as_far_as_is_said(
    broken: Any, prompts: list[EditPrompt]
) -> None:
    class Batching(broken):  # type: ignore[misc]
        def predict(self, prompts: Any) -> list[Prediction]:
            shift = np.uint8(2 * (len(prompts) > 1))
            return [Prediction(p.trajectory + shift) for p in super().predict(prompts)]

    strict, loose = results(Batching(), prompts), results(Batching(), prompts, tolerance=2.0)
    assert strict["batch invariance"] is False
    assert strict["contract"] is False
    assert all(passed is not False for passed in loose.values())


def test_a_model_that_fails_has_failed_and_says_why(prompts: list[EditPrompt]) -> None:
    class Failing:
        identity: Mapping[str, Any] = {"name": "failing"}

        def predict(self, prompts: Any) -> Any:
            raise OSError("out of\npaper")

    found = check_conformance(Failing(), prompts, steps=0)
    assert all(check.passed is False for check in found.checks)
    assert found.checks[1].meaning == "It could not be checked: out of paper"


def test_a_leak_is_found() -> None:
    class Leaking(EchoModel):
        kept: Any = []  # noqa: RUF012

        def predict(self, prompts: Any) -> Any:
            self.kept.append(np.full(1_000_000, len(self.kept), np.uint8))
            return super().predict(prompts)

    prompt = EditPrompt(np.zeros((24, 24, 3), np.uint8), "go", 0)
    assert memory_growth(Leaking(), prompt, 30) > 20
