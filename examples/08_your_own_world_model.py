"""Puts another world behind the environment: a world model of one's own, in 30 lines.

A world model answers frames and words with frames. This one has learned nothing: it reads speed and
steering from the words, and rolls the ground under the car. Whatever a frame does not show, it
cannot know; that is what learned models are for.

Usage: python examples/08_your_own_world_model.py
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from chronosim import EditPrompt, Prediction
from chronosim.envs import make_env
from chronosim.frames import write_frame
from chronosim.scenarios import CAR, DASHBOARD_ROW
from chronosim.testing import check_world_model
from chronosim.types import Frame


class RollingGround:
    """Turns and shifts the ground by what the words say; the car and the dashboard stay."""

    identity: Mapping[str, Any] = {"name": "rolling-ground"}  # all that shapes an answer

    def predict(self, prompts: Sequence[EditPrompt]) -> list[Prediction]:
        """Answers each prompt with four frames; words of another kind move nothing."""
        return [self._answer(prompt) for prompt in prompts]

    def _answer(self, prompt: EditPrompt) -> Prediction:
        speed = re.search(r"at (\d+) m/s", prompt.text)
        steer = re.search(r"(\d+)% (left|right)", prompt.text)
        ahead = int(speed[1]) * 0.36 * 2 if speed else 0  # pixels: two for a metre
        turn = int(steer[1]) * (-1 if steer[2] == "left" else 1) if steer else 0  # degrees
        frames = [
            self._rolled(prompt.frame, ahead * part, turn * part) for part in (0.25, 0.5, 0.75, 1)
        ]
        return Prediction(np.stack(frames))

    @staticmethod
    def _rolled(frame: Frame, ahead: float, turn: float) -> Frame:
        car = slice(CAR[0] - 6, CAR[0] + 6), slice(CAR[1] - 4, CAR[1] + 4)
        ground, grass = frame.copy(), np.median(frame.reshape(-1, 3), axis=0).astype(np.uint8)
        ground[car], ground[DASHBOARD_ROW:] = frame[CAR[0] - 8, CAR[1]], grass
        rolled = Image.fromarray(ground).rotate(
            turn, center=CAR[::-1], translate=(0, round(ahead)), fillcolor=tuple(grass.tolist())
        )
        answer = np.array(rolled)
        answer[car], answer[DASHBOARD_ROW:] = frame[car], frame[DASHBOARD_ROW:]
        return answer


env = make_env(RollingGround(), scenario="carracing")
seen, info = env.reset(seed=11)
asked = [
    EditPrompt(seen["image"], f"The car drives at 9 m/s. {way}", 0) for way in ("", "20% left")
]
check_world_model(RollingGround(), asked)  # the contract of every model, as a runnable check

frames = [seen["image"]]
for steering in (0.0, -0.2, -0.2, 0.0, 0.2):
    seen, reward, terminated, truncated, info = env.step(
        np.array([steering, 0.05, 0.0], np.float32)
    )
    print(f"{info['text']} -> reward {reward:.2f}")
    frames.extend(info["trajectory"][1::2])
write_frame("ground.png", np.hstack(frames))
