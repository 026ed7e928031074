"""What-ifs: one moment, several plans, and what becomes of each.

::

    env = gym.make("chronosim/CarRacing-v0").unwrapped
    plans = {"left": [[-0.3, 0.1, 0]] * 5, "right": [[0.3, 0.1, 0]] * 5}
    result = chronosim.whatif.run(env.world, plans, seed=11, folder="tree")
    result.tree.ranked()[0].name  # and tree/tree.png, tree/tree.mp4, an episode for each branch
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
