"""Which of these policies drives best? Rolls them out in the world model, and compares.

The same seeds for all: each policy meets the same first frames and the same noise. A world model's
ranking is an estimate; chronosim evaluate says how far to trust it.

Usage: python examples/05_evaluate_your_policy.py [model] [episodes]
"""

import sys
from collections.abc import Callable

import gymnasium as gym
import numpy as np

import chronosim
from chronosim.frames import write_frame
from chronosim.pictures import Panel, filmstrip
from chronosim.policies import LaneFollower

model = sys.argv[1] if len(sys.argv) > 1 else "nano"
episodes = int(sys.argv[2]) if len(sys.argv) > 2 else 4
# The same outcomes without the frames on the way, in two thirds of the time.
only_outcomes = {"decode_trajectory": False} if model == "nano" else {}
env = gym.make("chronosim/CarRacing-v0", model=model, horizon=8, **only_outcomes)


def yours(observation: chronosim.Observation) -> np.ndarray:
    """Your policy: whatever maps what is seen to steering, throttle and brake."""
    return np.array([0.0, 0.1, 0.0], np.float32)


policies: dict[str, Callable[[chronosim.Observation], np.ndarray]] = {
    "yours": yours,
    "lane follower": LaneFollower(),
    "lane follower, fast": LaneFollower(target_speed=40.0),
}
panels = []
print(f"{'policy':>20}  return (mean and standard error over {episodes} episodes)  steps")
for name, policy in policies.items():
    returns, lengths = [], []
    for seed in range(episodes):
        seen, _ = env.reset(seed=seed)
        total, steps, ended = 0.0, 0, False
        while not ended:
            action = policy(chronosim.Observation(seen["image"], seen["state"]))
            seen, reward, terminated, truncated, _ = env.step(action)
            total, steps, ended = total + float(reward), steps + 1, terminated or truncated
        returns.append(total)
        lengths.append(steps)
        panels.append(Panel(seen["image"], f"{name} · seed {seed}", f"return {total:.2f}"))
    error = np.std(returns) / max(1, episodes - 1) ** 0.5
    print(f"{name:>20}  {np.mean(returns):.2f} ± {error:.2f}  {np.mean(lengths):.1f}")
write_frame("scores.png", filmstrip(panels, columns=episodes))
