"""Keeps every step of an episode on disk, reads it back, and runs it again to the last pixel.

Usage: python examples/03_record_and_replay.py [model]
"""

import sys

import chronosim
from chronosim.envs import RecordEpisodes, first_difference, make_env
from chronosim.frames import write_frame
from chronosim.pictures import filmstrip, step_panels
from chronosim.policies import LaneFollower
from chronosim.testing import ReplayModel

model = sys.argv[1] if len(sys.argv) > 1 else "nano"
world = make_env(model, scenario="carracing", horizon=6)  # what gym.make calls

# 1. Record. Each step is on disk before the next begins: frames, actions, words, seeds, rewards.
env, policy = RecordEpisodes(world, "episodes"), LaneFollower()
seen, info = env.reset(seed=0)
ended = False
while not ended:
    action = policy(chronosim.Observation(seen["image"], seen["state"]))
    seen, reward, terminated, truncated, info = env.step(action)
    ended = terminated or truncated

# 2. Read it back.
episode = chronosim.EpisodeReader("episodes/0000000")
print(f"{episode.steps} steps, mean speed {episode.states.mean():.1f} m/s")
print(f"Actions {episode.column('action').shape}, frames {episode.frames.shape}")
write_frame("filmstrip.png", filmstrip(step_panels(episode.observation(0), episode)))

# 3. Run it again with the model: the same seed and the same actions give the same frames.
print("Imagined again:", first_difference(episode, world) or "every step alike")

# 4. Or replay the log in the model's place: an environment that costs nothing and needs no weights.
logged = make_env(ReplayModel("episodes/0000000"), scenario="carracing", horizon=6)
print("From the log:", first_difference(episode, logged) or "every step alike")
