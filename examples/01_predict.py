"""Asks a world model once: what becomes of this frame if the car steers left?

With a photo it asks in free words, which only the large models read.

Usage: python examples/01_predict.py [model] [photo]
       python examples/01_predict.py chronoedit-14b street.jpg
"""

import sys

import numpy as np

from chronosim import EditPrompt, Observation, World, settings
from chronosim.frames import read_frame, write_frame
from chronosim.models import Sizing

model = settings.load("model", sys.argv[1] if len(sys.argv) > 1 else "nano")

if len(sys.argv) > 2:
    # A photo comes in a camera's size: make it one of the model's, its shape kept.
    frame = Sizing("fit").there(read_frame(sys.argv[2]))
    [prediction] = model.predict([EditPrompt(frame, "A pedestrian steps onto the road.", seed=0)])
else:
    # A scenario knows where an episode may begin: a first frame, and the speed that goes with it.
    # A prompter words an action; a world is a model and a prompter, and remembers nothing.
    scenario, prompter = (
        settings.load("scenario", "carracing"),
        settings.load("prompter", "driving"),
    )
    frame, values = scenario.begin(np.random.default_rng(0))
    steer_left = np.array([-0.4, 0.1, 0.0], np.float32)  # steering, throttle, brake
    before = Observation(frame, prompter.begin(values))
    step = World(model, prompter).step(before, steer_left, seed=0)
    prediction = step.prediction
    print(f"The model was told: {prediction.text}")
    print(f"The car now drives at {step.after.state[0]:.1f} m/s, by dead reckoning.")

print(f"It answered with {len(prediction.trajectory)} frames of {prediction.frame.shape[:2]}.")
write_frame("before.png", frame)
write_frame("after.png", prediction.frame)
