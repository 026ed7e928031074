"""Policies rolled out in a world model, or recorded in a real simulator, by the thousand.

::

    world = chronosim.envs.make_env("nano", scenario="carracing", horizon=20).world
    policy = chronosim.policies.LaneFollower()
    done = chronosim.rollouts.run(world, policy, "episodes", seeds=range(100), num_envs=8)
    done.episodes, done.failures  # broken off, the same call goes on
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
