"""What-ifs: one moment, several plans, and what becomes of each.

::

    env = gym.make("chronosim/CarRacing-v0").unwrapped
    env.reset(seed=0)
    plans = {"left": [[-0.3, 0.1, 0]] * 5, "right": [[0.3, 0.1, 0]] * 5}
    tree = grow(env.simulator, env.observation, plans, scenario=env.scenario)
    write_frame("tree.png", draw_tree(tree))
"""

from chronosim.whatif.grow import Grower, grow, open_store
from chronosim.whatif.picture import Divergence, draw_tree, measure
from chronosim.whatif.plans import Plan, contrasts, read_plans
from chronosim.whatif.search import Search
from chronosim.whatif.store import load_tree
from chronosim.whatif.tree import Branch, Tree

__all__ = [
    "Branch",
    "Divergence",
    "Grower",
    "Plan",
    "Search",
    "Tree",
    "contrasts",
    "draw_tree",
    "grow",
    "load_tree",
    "measure",
    "open_store",
    "read_plans",
]
