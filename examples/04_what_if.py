"""Asks what would have been: several futures of one moment, as a tree.

Usage: python examples/04_what_if.py [model]
"""

import sys

import chronosim
from chronosim.envs import make_env
from chronosim.frames import write_frame
from chronosim.whatif import draw_tree, grow, load_tree, measure

model = sys.argv[1] if len(sys.argv) > 1 else "nano"
env = make_env(model, scenario="carracing")  # what gym.make("chronosim/CarRacing-v0") calls
env.reset(seed=11)  # a bend lies ahead

# The plain way: fork the environment. The twin goes on with the same noise, so the two futures
# differ by their actions alone.
twin = chronosim.fork(env)
env.step([0.0, 0.1, 0.0])
twin.step([-0.3, 0.1, 0.0])

# The tree: plans that begin alike share what they have in common, one call of the model for each
# depth, and every branch is an episode on disk. Broken off, the same call goes on.
straight, left, right, brake = [0.0, 0.1, 0.0], [-0.3, 0.1, 0.0], [0.3, 0.1, 0.0], [0.0, 0.0, 0.5]
plans = {
    "straight": [straight] * 4,
    "left": [left] * 4,
    "left, then right": [left] * 2 + [right] * 2,
    "brake": [brake] * 4,
}
tree = grow(env.world, env.observation, plans, dataset="tree")

print(f"{tree.predictions} predictions for {sum(map(len, plans.values()))} steps of plans")
apart = measure(tree)
for index, branch in enumerate(tree.branches):
    parts = apart.first(0, index, apart=10)
    print(f"{branch.name:>16}: score {branch.score:.2f}, parts from straight at step {parts}")
print("The best:", tree.ranked()[0].name)

write_frame("tree.png", draw_tree(tree, seconds_per_step=env.world.prompter.seconds_per_step))
assert len(load_tree("tree")) == len(tree)  # as it lies on disk
