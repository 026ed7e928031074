"""A model in several processes answers as it does alone."""

from functools import partial

import numpy as np
import pytest

from chronosim.errors import InvalidConfig, InvalidPrompt
from chronosim.models import Batched, Replicas, load, load_replicas
from chronosim.models.named import load_model
from chronosim.prompters import Driving
from chronosim.testing import check_world_model
from chronosim.types import EditPrompt, Observation


@pytest.mark.slow
def test_replicas_answer_as_the_model_alone() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 96, 96, 3), np.uint8)
    prompter = Driving()
    observation = Observation(frames[0], prompter.begin({}))
    text, _ = prompter(observation, prompter.action_space.sample())
    prompts = [EditPrompt(frame, text, seed) for seed, frame in enumerate(frames)]
    several, alone = (
        load_replicas("nano", settings={"denoising_steps": 1}),
        load("nano", preset="nano", denoising_steps=1),
    )
    try:
        assert several.identity == alone.identity
        for ours, theirs in zip(several.predict(prompts), alone.predict(prompts), strict=True):
            np.testing.assert_array_equal(ours.trajectory, theirs.trajectory)
        assert several.predict([]) == []
        with pytest.raises(InvalidPrompt):
            several.predict([*prompts, EditPrompt(frames[0], "\N{SNOWMAN}" * 9, 0)])
        check_world_model(Batched(several), prompts[:2])
    finally:
        several.close()
    given = Replicas(partial(load_model, alone), replicas=1, threads=1)  # as to a rollout's workers
    try:
        [ours], [theirs] = given.predict(prompts[:1]), alone.predict(prompts[:1])
        np.testing.assert_array_equal(ours.trajectory, theirs.trajectory)
    finally:
        given.close()


def test_what_cannot_be_loaded_is_told_here() -> None:
    with pytest.raises(InvalidConfig, match="model 'nowhere'"):
        load_replicas("nowhere")
    with pytest.raises(InvalidConfig, match="1 process or more"):
        load_replicas("echo", replicas=0)
