"""An image-editing video model as a world simulator.

Importing chronosim registers its environments with Gymnasium::

    import gymnasium as gym, chronosim

    env = gym.make("chronosim/CarRacing-v0")
"""

from importlib.metadata import version

import gymnasium as gym

from chronosim import errors
from chronosim.envs.forks import fork
from chronosim.episodes import EpisodeReader, EpisodeWriter
from chronosim.processes import settle_threads
from chronosim.protocols import Policy, Prompter, Scenario, WorldModel
from chronosim.types import EditPrompt, Observation, Prediction, Step
from chronosim.world import World

__all__ = [
    "EditPrompt",
    "EpisodeReader",
    "EpisodeWriter",
    "Observation",
    "Policy",
    "Prediction",
    "Prompter",
    "Scenario",
    "Step",
    "World",
    "WorldModel",
    "__version__",
    "errors",
    "fork",
]

__version__ = version("chronosim")

settle_threads()  # before torch is loaded

# order_enforce: the environment itself refuses a step before reset, with our own sentence.
for _world, _scenario in (("CarRacing", "carracing"), ("PushT", "pusht")):
    gym.register(
        f"chronosim/{_world}-v0",
        entry_point="chronosim.envs.make:make_env",
        vector_entry_point="chronosim.envs.make:make_vector_env",
        order_enforce=False,
        kwargs={"scenario": _scenario},
    )

# Any other world: a model, a prompter and a scenario of the caller's.
gym.register(
    "chronosim/World-v0",
    entry_point="chronosim.envs.make:make_env",
    vector_entry_point="chronosim.envs.make:make_vector_env",
    order_enforce=False,
)
