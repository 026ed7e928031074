"""Compares three policies by 100 episodes each. Broken off, the same call goes on.

A policy is any callable from an observation to an action. An episode follows from its seed alone,
so all policies meet the same first frames and the same noise; each episode is a folder of its own,
written step by step. A world model's ranking is an estimate: see 05_evaluation.py.

Usage: python examples/02_rollouts.py [model] [episodes]
"""

import sys

import numpy as np

from chronosim import EpisodeReader, Observation, rollouts
from chronosim.envs import first_difference, make_env
from chronosim.frames import write_frame
from chronosim.pictures import filmstrip, step_panels
from chronosim.policies import LaneFollower


def yours(observation: Observation) -> list[float]:
    """Your policy: whatever maps what is seen to steering, throttle and brake."""
    return [0.0, 0.1, 0.0]


env = make_env(sys.argv[1] if len(sys.argv) > 1 else "nano", scenario="carracing", horizon=8)
seeds = range(int(sys.argv[2]) if len(sys.argv) > 2 else 100)
policies = {"yours": yours, "slow": LaneFollower(), "fast": LaneFollower(target_speed=40.0)}
for name, policy in policies.items():
    run = rollouts.run(env.world, policy, f"episodes/{name}", seeds=seeds, num_envs=8)
    logged = [EpisodeReader(path) for path in run.episodes]
    returns = [episode.column("reward").sum() for episode in logged]
    print(f"{name:>6}: mean return {np.mean(returns):.2f}, {run.steps} steps taken now")

# What is logged can be looked at, and the same seed and actions give the same frames again.
write_frame("filmstrip.png", filmstrip(step_panels(logged[0].observation(0), logged[0])))
print("Imagined again:", first_difference(logged[0], env) or "every step alike")
