"""Asks what would have been: several plans from one moment, as a tree.

All branches meet the same noise, so they differ by their actions alone; plans that begin alike
share what they have in common, by one call of the model for each depth. Every branch is an episode
on disk, beside a picture, a film and figures. Broken off, the same call goes on.

Usage: python examples/04_what_if.py [model]
"""

import sys

from chronosim import whatif
from chronosim.envs import make_env

world = make_env(sys.argv[1] if len(sys.argv) > 1 else "nano", scenario="carracing").world
straight, left, right = [0.0, 0.1, 0.0], [-0.3, 0.1, 0.0], [0.3, 0.1, 0.0]
plans = {
    "straight": [straight] * 4,
    "left": [left] * 4,
    "left, then right": [left] * 2 + [right] * 2,
}
result = whatif.run(world, plans, seed=11, folder="tree")  # 11: a bend lies ahead
divergence = whatif.measure(result.tree)
for index, branch in enumerate(result.tree.branches):
    parts = divergence.first(0, index, apart=10)
    print(f"{branch.name:>16}: score {branch.score:.2f}, parts from straight at step {parts}")
print(f"{result.predictions} predictions for 12 steps of plans, in tree/tree.png and tree.mp4")
