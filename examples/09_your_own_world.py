"""Makes a world model of an environment that chronosim knows nothing of: record, train, step.

All that it is told is one file, mine/simulator/pendulum.yaml beside this one. The model learns from
nothing, at toy quality. docs/worlds.md does the same with commands.

Usage: python examples/09_your_own_world.py [quick]
"""

import sys
from functools import partial
from importlib.resources import files
from pathlib import Path

import gymnasium as gym
import numpy as np
import yaml  # type: ignore[import-untyped]

from chronosim import rollouts, settings  # chronosim registers chronosim/World-v0
from chronosim.evaluation import Reference, Simulated, evaluate
from chronosim.frames import write_frame
from chronosim.models import load
from chronosim.policies import Random
from chronosim.training import nano_recipe, train_pipeline

world = str(Path(__file__).parent / "mine" / "simulator" / "pendulum.yaml")
quick = sys.argv[1:] == ["quick"]  # only to see that all of it runs: the model learns nothing
simulator, prompter = partial(settings.load, "simulator", world), settings.load("prompter", world)
policy = partial(Random, prompter)

# 1. Record the real pendulum, pushed at random. Broken off, the same call goes on.
seeds = range(4 if quick else 150)
rollouts.record(simulator, prompter, policy, "datasets/pendulum", seeds=seeds, steps=20)

# 2. Train small networks on it. (nano_recipe(start=...) trains a model on instead; nano takes
# trajectories of 1 or 9 frames, and these have 5.)
toy = yaml.safe_load((files("chronosim.scenarios") / "conf/scale/toy.yaml").read_text())
for stage in ("stills", "clips", "trips", "carry", "world") if quick else ():
    toy[stage]["steps"] = 1
model = train_pipeline(nano_recipe(toy), [Path("datasets/pendulum")], Path("runs/pendulum"))

# 3. Step it: the same pushes for the real pendulum and for the imagined one, which sees only what
# it imagined, and knows its speed only from the pushes it was given.
steps = 2 if quick else 12
env = gym.make("chronosim/World-v0", model=model, preset="nano", scenario=world, horizon=steps)
real = settings.load("simulator", world)
frame, values = real.reset(seed=1_000_000)
env.reset(seed=0, options={"frame": frame, "values": values})
env.action_space.seed(1_000_000)
true, imagined = [frame], [frame]
while len(true) <= steps:
    action = env.action_space.sample()
    seen, *_, info = env.step(action)
    print(info["text"])
    true.append(real.step(action)[0].frame)
    imagined.append(seen["image"])
env.close()
write_frame("pendulum.png", np.vstack([np.hstack(true), np.hstack(imagined)]))
print("pendulum.png: the real pendulum above, the imagined one below")

# 4. Measure it beside copying the last frame, on episodes it never saw.
truth = Reference(simulator, prompter, policy=policy, alternatives=policy)
sizes = {"windows": 2, "others": 1} if quick else {}
source = Simulated(truth, apart=5.0, **sizes)
print(evaluate(load(model, preset="nano"), source, "report", sections="outcomes").markdown())
