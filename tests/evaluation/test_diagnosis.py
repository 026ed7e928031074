from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from chronosim.evaluation import Recording, Reference, draw_recordings, roll_out
from chronosim.evaluation.diagnosis import cover, diagnose
from chronosim.evaluation.experiments import experiments, round_trips, step_errors
from chronosim.evaluation.predictions import teach
from chronosim.evaluation.report.section import Section
from chronosim.types import Prediction
from chronosim.world import World


@pytest.fixture
def recordings(slider: Reference) -> list[Recording]:
    return list(draw_recordings(4, reference=slider, steps=5, first_seed=1))


def diagnosed(model: Any, recordings: list[Recording], slider: Reference) -> Section:
    simulator = World(model, slider.prompter)
    imagined = list(roll_out(recordings, simulator, seed=0))
    return diagnose(
        recordings, simulator, imagined, list(teach(recordings, simulator, seed=0)), seed=0
    )


def test_an_error_that_is_fed_back_is_named(
    recordings: list[Recording], slider: Reference, broken: Any
) -> None:
    class Fading(broken):  # type: ignore[misc]
        """Adds the fault of the frame it is fed to its own."""

        def _answer(self, prompt: Any) -> Prediction:
            fault = int(prompt.frame.min()) - 20 + 5
            right = super()._answer(prompt).trajectory
            return Prediction(np.clip(right + fault, 0, 255).astype(np.uint8))

    section = diagnosed(Fading(), recordings, slider)
    assert "What limits it most is the error fed back" in section.verdict
    parts = section.values["parts"]
    assert sum(part["share"] for part in parts.values()) == pytest.approx(1)
    assert parts["error fed back"]["low"] > 0.5
    assert section.values["effects"]["error fed back"]["low"] > 3
    assert section.values["effects"]["noise"]["gain"] == 0, "it uses no noise"


def test_an_autoencoder_that_loses_everything_is_named(
    recordings: list[Recording], slider: Reference, broken: Any
) -> None:
    class Coarse(broken):  # type: ignore[misc]
        def reconstruct(self, frame: Any, trajectory: Any) -> Any:
            return trajectory // 64 * 64

        def _answer(self, prompt: Any) -> Prediction:
            return Prediction(self.reconstruct(None, super()._answer(prompt).trajectory))

    section = diagnosed(Coarse(), recordings, slider)
    assert section.values["parts"]["reconstruction by the autoencoder"]["share"] == pytest.approx(1)
    assert section.verdict.endswith("A better autoencoder comes first.")
    assert "blurred sight" in section.values["effects"]


def test_the_largest_effect_comes_first(
    recordings: list[Recording], slider: Reference, broken: Any
) -> None:
    section = diagnosed(broken("reads seeds"), recordings, slider)
    effects = [abs(float(row[4].split()[0])) for row in section.tables[1].rows]
    assert effects == sorted(effects, reverse=True)
    rows = {row[0]: row for row in section.tables[1].rows}
    assert rows["swapped actions"][4].startswith("-"), "told the wrong actions, it errs"
    assert set(rows) >= {"error fed back", "noise", "coarse words", "no state"}


def test_only_the_words_of_an_experiment_differ(
    recordings: list[Recording], slider: Reference
) -> None:
    asked: dict[str, list[str]] = {}

    class Listening:
        identity: Any = {"name": "listening"}  # noqa: RUF012

        def predict(self, prompts: Iterable[Any]) -> list[Prediction]:
            asked.setdefault(name, []).extend(prompt.text for prompt in prompts)
            return [Prediction(prompt.frame[None].copy()) for prompt in prompts]

    simulator = World(Listening(), slider.prompter)
    known = {each.name: each for each in experiments(recordings, simulator, seed=0)}
    assert "blurred sight" not in known, "it has no autoencoder"
    name = "unchanged"
    list(roll_out(recordings, simulator, seed=0))
    for name in ("coarse words", "no state", "noise"):
        list(known[name].run())
    assert asked["noise"] == asked["unchanged"]
    assert asked["no state"] == [f"0 {text.split()[1]}" for text in asked["unchanged"]]
    places = [text.split()[0] for text in asked["unchanged"]]
    assert [text.split()[0] for text in asked["coarse words"]] == places, "the reckoning stays"


def test_round_trips_are_fed_back(recordings: list[Recording]) -> None:
    seen = []

    class Trips:
        def reconstruct(self, frame: Any, trajectory: Any) -> Any:
            seen.append(frame)
            return np.minimum(trajectory, 200).astype(np.uint8)

    steps = list(round_trips(recordings[:1], Trips()))
    assert seen[0].max() == 220
    assert all(frame.max() == 200 for frame in seen[1:])
    assert step_errors(recordings[:1], steps).shape == (5, 1)
    assert step_errors(recordings[:1], steps).max() > 0


def test_rare_states_are_told_from_usual_ones(recordings: list[Recording]) -> None:
    many = [recording for recording in recordings for _ in range(3)]
    errors = np.full((5, len(many)), 100.0)
    coverage = cover(many, errors)
    assert coverage is not None
    assert coverage.near == pytest.approx(coverage.far)
    assert coverage.low <= 0 <= coverage.high


def test_words_have_no_distance(recordings: list[Recording]) -> None:
    worded = [
        Recording(each.seed, tuple("go" for _ in each.actions), each.observations)
        for each in recordings
    ]
    assert cover(worded, np.ones((5, 4))) is None
