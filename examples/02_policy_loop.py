"""Lets a policy drive in the world model, through Gymnasium, and keeps every step.

Usage: python examples/02_policy_loop.py [model]
"""

import sys

import gymnasium as gym
import numpy as np

import chronosim  # registers chronosim/CarRacing-v0
from chronosim.adapters.policies.carracing import LaneFollower
from chronosim.envs.record_episodes import RecordEpisodes
from chronosim.episodes.filmstrip import filmstrip, step_panels
from chronosim.frames import write_frame

model = sys.argv[1] if len(sys.argv) > 1 else "nano"
env = RecordEpisodes(gym.make("chronosim/CarRacing-v0", model=model, horizon=8), "episodes")

# A policy is any callable from an observation to an action. Gymnasium's own form of the observation
# is a dict of arrays; this driver was written for chronosim's.
policy = LaneFollower(target_speed=20.0)
seen, _ = env.reset(seed=0)
total, step, ended = 0.0, 0, False
while not ended:
    action = policy(chronosim.Observation(seen["image"], seen["state"], step))
    seen, reward, terminated, truncated, info = env.step(action)
    print(f"step {step}: {info['text']} -> reward {reward:.2f}")
    total, step, ended = total + float(reward), step + 1, terminated or truncated
env.close()
print(f"{step} steps, total reward {total:.2f}")

# Every step is on disk: frames, actions, words, seeds, rewards.
episode = chronosim.EpisodeReader("episodes/0000000")
print(f"Mean speed: {np.mean(episode.states):.1f} m/s")
write_frame("filmstrip.png", filmstrip(step_panels(episode.observation(0), episode)))
