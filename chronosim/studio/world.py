"""The world of a session: a model, a prompter and a scenario, and how it begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gymnasium.utils import seeding

from chronosim.envs.about import about_world
from chronosim.errors import InvalidEpisode
from chronosim.frames import fit_frame
from chronosim.models.sizes import Sizing
from chronosim.protocols import Scenario
from chronosim.simulator import Simulator
from chronosim.types import Frame, Observation

__all__ = ["World"]


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """What a session is driven by.

    Attributes:
        scenario_name: As it was chosen.
        model_name: As it was chosen.
        simulator: The model and the prompter.
        scenario: Where it begins and what counts.
        settings: Of all parts, as they would be made again (for the log).
        frame_size: The only (height, width) the model works at; None: several.
    """

    scenario_name: str
    model_name: str
    simulator: Simulator
    scenario: Scenario
    settings: Mapping[str, Any]
    frame_size: tuple[int, int] | None = None

    def begin(self, seed: int, frame: Frame | None = None) -> tuple[Observation, int]:
        """Begins an episode exactly as `ChronoEnv.reset(seed=...)` would.

        Args:
            seed: Of the scenario's draw and of the noise, >= 0.
            frame: A first frame of one's own, uint8 (height, width, 3); it is fitted to the model.
                None: one of the scenario's.

        Returns:
            The first observation, and the seed that the noise of its steps follows from.

        Raises:
            InvalidFrame: The frame cannot be fitted.
            InvalidConfig: The scenario's values do not suit the prompter.
        """
        rng, _ = seeding.np_random(seed)
        values: Mapping[str, float] = {}
        if frame is None:
            frame, values = self.scenario.begin(rng)
        elif self.frame_size is not None:
            frame = fit_frame(frame, self.frame_size)
        else:
            frame = Sizing("fit").there(frame)
        first = Observation(frame.copy(), self.simulator.prompter.begin(values))
        return first, int(rng.integers(2**63 - 1))

    def check_fit(self, first: Observation, name: str) -> None:
        """Checks that an episode from elsewhere could go on in this world.

        Args:
            first: Its first observation.
            name: What it is called.

        Raises:
            InvalidEpisode: Its frames or commanded states are of another shape.
        """
        size, kept = first.frame.shape[:2], self.simulator.prompter.state_space.shape
        if first.state.shape != kept:
            raise InvalidEpisode(
                f"{name} keeps {len(first.state)} commanded numbers, but the world "
                f"{self.scenario_name} keeps {kept[0]}: choose the world it was made in"
            )
        if self.frame_size not in (None, size):
            wanted = self.frame_size or size
            raise InvalidEpisode(
                f"{name} shows frames of {size[0]} x {size[1]}, but {self.model_name} works at "
                f"{wanted[0]} x {wanted[1]}: choose a model that takes its size"
            )

    def about(self, seed: int | None, lineage: Mapping[str, Any] | None) -> dict[str, Any]:
        """Gives what a saved episode says of itself, in JSON values.

        Args:
            seed: The episode follows from it alone; None where it does not.
            lineage: Of a fork, as `about_world` has it.
        """
        told = about_world(self.simulator, self.scenario, seed=seed, lineage=lineage)
        config = {**self.settings, "policy": None, "horizon": None, "seed": seed}
        return {**told, "policy": "studio", "config": config}
