"""Makes a guard of true episodes: it ends imagined ones where the frame has left the world.

The guard learns what frames of this world look like, sets its limit by the false alarms that it may
raise, and is judged on episodes that it never saw.

Usage: python examples/06_guard.py [model] [episodes]
"""

import sys

from chronosim import EpisodeReader, rollouts
from chronosim.envs import make_env
from chronosim.evaluation import calibrate_guard
from chronosim.policies import AnyDrive, DriverMix
from chronosim.prompters import Driving
from chronosim.simulators import CarRacingSimulator

episodes = int(sys.argv[2]) if len(sys.argv) > 2 else 100
rollouts.record(CarRacingSimulator, Driving(), DriverMix(), "true", seeds=range(episodes), steps=20)
calibration = calibrate_guard("true", false_alarms=5 / episodes)  # it may err in 5 of them
calibration.save("guard.npz")
print(calibration.table.markdown())

model = sys.argv[1] if len(sys.argv) > 1 else "nano"
env = make_env(model, scenario="carracing", horizon=40, guard="guard.npz")
made = rollouts.run(env.world, AnyDrive(), "imagined", seeds=range(4), num_envs=4)
lengths = [EpisodeReader(path).steps for path in made.episodes]
print(f"Imagined episodes under the guard have {lengths} steps of 40")
