"""Models that follow the action, and one that does not, told apart by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronosim.errors import InvalidConfig
from chronosim.evaluation import Moment, Reference, Region, draw_moments, draw_recordings
from chronosim.evaluation.following import following, following_recorded
from chronosim.evaluation.report.section import Section
from chronosim.evaluation.truth import Recording
from chronosim.testing import EchoModel
from chronosim.types import Observation, Prediction
from chronosim.world import World
from tests.evaluation.conftest import Mover, draw_bar


def idle(observation: Observation) -> Any:
    return np.zeros(1, np.float32)


class Deaf:
    """Moves the world always alike, whatever it is told: actions ignored."""

    identity: Mapping[str, Any] = {"name": "deaf"}

    def __init__(self, knowing: Any) -> None:
        self.knowing = knowing

    def predict(self, prompts: Any) -> Any:
        return self.knowing.predict(
            [replace(prompt, text=f"{prompt.text.split()[0]} 4") for prompt in prompts]
        )


@pytest.fixture(scope="module")
def kept() -> dict[str, list[Moment]]:
    return {}


@pytest.fixture
def moments(slider: Reference, kept: dict[str, list[Moment]]) -> list[Moment]:
    if not kept:
        kept["all"] = list(draw_moments(12, reference=slider, first_seed=1, others=2))
    return kept["all"]


def judged(
    moments: Sequence[Moment], model: Any, slider: Reference, folder: Path, episodes: int = 1
) -> Section:
    return following(
        moments,
        world=World(model, slider.prompter),
        idle=idle,
        reference=slider,
        folder=folder,
        first_seed=500,
        episodes=episodes,
    )


def test_a_model_that_knows_the_world_follows(
    moments: list[Moment], knowing: Any, slider: Reference, tmp_path: Path
) -> None:
    section = judged(moments, knowing, slider, tmp_path, episodes=8)
    assert section.warnings == ()
    assert "in 100% of cases" in section.verdict
    assert "guessing gives 33%" in section.verdict
    retrieval = section.values["retrieval"]
    np.testing.assert_array_equal(retrieval["confusion"], np.eye(3))
    assert retrieval["distinct"] == 1
    assert section.values["controls"]["own"] == 0
    probe = section.values["probe"]["whole frames"]
    assert probe["ceiling"] == [figure["value"] for figure in probe["predicted"]]
    assert probe["ceiling"][0] > 0.6
    assert section.gauge is not None
    assert section.gauge.light == "good"
    assert all(picture.png.startswith(b"\x89PNG") for picture in section.pictures)
    assert len(section.pictures) == 2


@pytest.mark.parametrize("kind", ["deaf", "echo"])
def test_a_model_that_ignores_the_action_is_named(
    moments: list[Moment], knowing: Any, slider: Reference, tmp_path: Path, kind: str
) -> None:
    model = Deaf(knowing) if kind == "deaf" else EchoModel()
    section = judged(moments, model, slider, tmp_path)
    assert section.warnings == ("actions are ignored",)
    assert section.values["retrieval"]["every"]["value"] == pytest.approx(1 / 3)
    assert section.values["retrieval"]["distinct"] == pytest.approx(1 / 3)
    assert section.values["controls"]["swapped"]["value"] == 1


def test_what_has_been_answered_is_not_asked_again(
    moments: list[Moment], knowing: Any, slider: Reference, tmp_path: Path
) -> None:
    first = judged(moments, knowing, slider, tmp_path)

    class Silent:
        identity: Mapping[str, Any] = {"name": "silent"}

        def predict(self, prompts: Any) -> Any:
            raise AssertionError("it was asked again")

    again = judged(moments, Silent(), slider, tmp_path)
    assert again.values == first.values
    with pytest.raises(InvalidConfig, match="use the same settings"):
        judged(moments[:11], knowing, slider, tmp_path)


def test_recorded_episodes_alone_tell_it_too(slider: Reference, knowing: Any) -> None:
    recordings = list(draw_recordings(8, reference=slider, steps=20, first_seed=3))
    followed = following_recorded(recordings, world=World(knowing, slider.prompter))
    assert followed.warnings == ()
    assert followed.values["controls"]["idle"] is None
    deaf = World(Deaf(knowing), slider.prompter)
    ignored = following_recorded(recordings, world=deaf, idle=idle, names=["way"])
    assert ignored.warnings == ("actions are ignored",)
    assert ignored.values["controls"]["swapped"]["value"] == 1
    assert ignored.values["controls"]["idle"]["value"] == 1
    assert ignored.values["probe"]["whole frames"]["names"] == ["way"]
    with pytest.raises(InvalidConfig, match="from 2 recorded episodes on, not 1"):
        following_recorded(recordings[:1], world=deaf)


class Pushing(Mover):
    """Says where the bar is pushed, not from where."""

    def __call__(self, observation: Observation, action: Any) -> tuple[str, Any]:
        return f"push {4 * int(action[0])}", observation.state


class Pushed:
    """Does what it is told."""

    identity: Mapping[str, Any] = {"name": "pushed"}

    def predict(self, prompts: Any) -> list[Prediction]:
        return [
            Prediction(np.roll(prompt.frame, int(prompt.text.split()[1]), axis=1)[None])
            for prompt in prompts
        ]


def one_way_each(slider: Reference, ways: Sequence[int]) -> list[Recording]:
    """Episodes that do the same at every step, as those of one instruction do."""
    return [
        Recording(
            seed,
            (np.array([way], np.float32),) * 3,
            tuple(
                Observation(
                    np.roll(draw_bar(3), 4 * way * step, axis=1), np.zeros(1, np.float32), step
                )
                for step in range(4)
            ),
        )
        for seed, way in enumerate(ways)
    ]


def test_another_action_is_really_another(slider: Reference) -> None:
    honest = World(Pushed(), Pushing())
    followed = following_recorded(one_way_each(slider, [1, -1] * 16), world=honest)
    assert followed.warnings == ()
    assert followed.gauge is not None
    assert followed.gauge.value == np.inf, "without an error of its own"
    untold = following_recorded(one_way_each(slider, [1, -1, 1, -1]), world=honest)
    assert untold.verdict.startswith("Cannot be told: all judged steps (1 episodes)")
    assert (untold.warnings, untold.gauge) == ((), None)


def test_instruments_are_looked_at_and_looked_away_from(
    moments: list[Moment], knowing: Any, slider: Reference, tmp_path: Path
) -> None:
    reference = replace(slider, left_out=Region("floor", 12))
    section = judged(moments, knowing, reference, tmp_path)
    assert list(section.values["probe"]) == ["whole frames", "no floor"]
    assert "the floor left out" in section.tables[0].caption
    assert len(section.pictures) == 3
