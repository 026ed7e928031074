"""Asks a world model once: what becomes of this frame if the car steers left?

Usage: python examples/01_predict.py [model]
"""

import sys

import numpy as np

from chronosim import Observation, Simulator, config
from chronosim.frames import write_frame

model = config.load("model", sys.argv[1] if len(sys.argv) > 1 else "nano")
prompter = config.load("prompter", "driving")
scenario = config.load("scenario", "carracing")

# A scenario knows where an episode may begin: a first frame, and the speed that goes with it.
frame, values = scenario.begin(np.random.default_rng(0))
before = Observation(frame, prompter.begin(values))

# A simulator is a world model and a prompter, and remembers nothing: any observation will do.
simulator = Simulator(model, prompter)
steer_left = np.array([-0.4, 0.1, 0.0], np.float32)  # steering, throttle, brake
after, prediction = simulator.step(before, steer_left, seed=0)

print(f"The model was told: {prediction.text}")
print(f"It answered with {len(prediction.trajectory)} frames of {prediction.frame.shape[:2]}.")
print(f"The car now drives at {after.state[0]:.1f} m/s, by dead reckoning.")
write_frame("before.png", before.frame)
write_frame("after.png", after.frame)
