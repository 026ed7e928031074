from __future__ import annotations

import gc
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from chronosim.studio.workshop import Models
from tests.studio.conftest import Toy


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names the models that were loaded, in that order."""
    loaded: list[str] = []

    def make(config: DictConfig, part: str, **told: Any) -> Toy:
        loaded.append(config.model.name)
        return Toy()

    monkeypatch.setattr("chronosim.studio.workshop.make_part", make)
    return loaded


def settings(name: str) -> DictConfig:
    return OmegaConf.create({"model": {"_target_": "tests.studio.conftest.Toy", "name": name}})


def test_a_model_that_a_session_still_uses_is_not_loaded_again(made: list[str]) -> None:
    models = Models(print, most=1)
    used = models.load(settings("a"), {})
    models.load(settings("b"), {})
    assert models.load(settings("a"), {}) is used
    assert made == ["a", "b"]


def test_the_weights_of_a_resampled_model_are_not_loaded_again(
    made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chronosim.studio.workshop._resampled", lambda model, sampling: Toy())
    models = Models(print, most=1)
    used = models.load(settings("a"), {"guidance": 2})
    models.load(settings("b"), {})
    gc.collect()
    assert models.load(settings("a"), {}) is not used
    assert made == ["a", "b"]


def test_a_model_that_nobody_uses_makes_room(made: list[str]) -> None:
    models = Models(print, most=1)
    models.load(settings("a"), {})
    models.load(settings("b"), {})
    gc.collect()
    models.load(settings("a"), {})
    assert made == ["a", "b", "a"]
