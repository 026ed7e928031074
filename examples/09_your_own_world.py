"""Makes a world model of an environment that chronosim knows nothing of: record, train, step.

All that it is told is one file, mine/simulator/pendulum.yaml beside this one. The model learns from
nothing, at toy quality; every command here can be typed into a shell just as well.

Usage: python examples/09_your_own_world.py [quick]
"""

import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np

import chronosim  # noqa: F401  (registers chronosim/World-v0)
from chronosim import settings
from chronosim.frames import write_frame

mine = Path(__file__).parent / "mine"
world = str(mine / "simulator" / "pendulum.yaml")
model = "runs/train/pendulum/pipeline"
quick = sys.argv[1:] == ["quick"]  # only to see that all of it runs: the model learns nothing


def run(command: str, *settings: str) -> None:
    """Runs a command of chronosim's, as a shell would."""
    print(f"\nchronosim {command} {' '.join(settings)}", flush=True)
    subprocess.run([Path(sys.executable).with_name("chronosim"), command, *settings], check=True)


# 1. Record the real pendulum, pushed at random. Broken off, the same command goes on.
sizes = ["episodes=4", "workers=1"] if quick else ["episodes=150"]
own = (f"--config-dir={mine}", "simulator=pendulum")
run("record", *own, "steps=20", *sizes, "output=datasets/pendulum")

# 2. Train small networks on it. (start=nano trains ours on instead: it takes trajectories of 1 or 9
# frames, and these have 5.)
sizes = [f"{stage}.steps=1" for stage in ("stills", "clips", "carry", "world")] if quick else []
run("train", "+scale=toy", *sizes, "dataset=datasets/pendulum", "output=runs/train/pendulum")

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
sizes = ["windows=100"]
if quick:
    sizes = ["windows=2", "rollouts=2", "rollout_steps=1", "others=1"]
run("evaluate", *own, *sizes, "apart=5", f"model.name={model}")
