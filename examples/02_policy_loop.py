"""Lets a policy drive in the world model, through Gymnasium.

Usage: python examples/02_policy_loop.py [model]
"""

import sys

import gymnasium as gym
import numpy as np

import chronosim  # registers chronosim/CarRacing-v0
from chronosim.frames import write_frame
from chronosim.policies import LaneFollower

model = sys.argv[1] if len(sys.argv) > 1 else "nano"
env = gym.make("chronosim/CarRacing-v0", model=model, horizon=8)

# A policy is any callable from an observation to an action. Gymnasium's own form of the observation
# is a dict of arrays; this driver was written for chronosim's.
policy = LaneFollower(target_speed=20.0)
seen, info = env.reset(seed=0)
frames, total, ended = [seen["image"]], 0.0, False
while not ended:
    action = policy(chronosim.Observation(seen["image"], seen["state"]))
    seen, reward, terminated, truncated, info = env.step(action)
    print(f"step {len(frames)}: {info['text']} -> reward {reward:.2f}")
    frames.append(seen["image"])
    total, ended = total + float(reward), terminated or truncated
env.close()

print(f"{len(frames) - 1} steps, return {total:.2f}")
write_frame("drive.png", np.hstack(frames))
