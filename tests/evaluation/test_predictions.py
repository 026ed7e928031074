from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chronosim.evaluation import (
    Autoencoding,
    Moment,
    Reference,
    copy_frame,
    draw_moments,
    predict,
    reconstruct,
)
from chronosim.testing import EchoModel
from chronosim.world import World


def test_a_model_that_knows_the_world_predicts_it(slider: Reference, knowing: Any) -> None:
    moments = list(draw_moments(10, reference=slider, first_seed=5, others=1))
    predicted = list(predict(moments, World(knowing, slider.prompter)))
    for moment, trajectory in zip(moments, predicted, strict=True):
        np.testing.assert_array_equal(trajectory, moment.trajectory)


def test_each_moment_has_its_noise(slider: Reference) -> None:
    seeds: list[int] = []

    class Counting(EchoModel):
        def predict(self, prompts: Any) -> Any:
            seeds.extend(prompt.seed for prompt in prompts)
            return EchoModel().predict(prompts)

    moments = list(draw_moments(10, reference=slider, first_seed=5, others=1))
    list(predict(moments, World(Counting(), slider.prompter), seed=40))
    assert seeds == list(range(40, 50))


def test_copies_are_as_long_as_the_truth(noise: Callable[..., list[Moment]]) -> None:
    [moment] = noise(1, time=3)
    copied = copy_frame(moment)
    assert copied.shape == moment.trajectory.shape
    assert (copied == moment.observation.frame).all()


def test_the_oracle_is_as_long_as_the_models_own(
    noise: Callable[..., list[Moment]], knowing: Any
) -> None:
    [moment] = noise(1, time=3)
    assert isinstance(knowing, Autoencoding)
    assert not isinstance(EchoModel(), Autoencoding)
    np.testing.assert_array_equal(reconstruct(moment, knowing, 3), moment.trajectory // 2 * 2)
    np.testing.assert_array_equal(reconstruct(moment, knowing, 1), moment.trajectory[2:] // 2 * 2)
    np.testing.assert_array_equal(reconstruct(moment, knowing, 5), moment.trajectory[2:] // 2 * 2)
