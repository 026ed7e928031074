"""The worlds a page may choose from, and how a choice becomes one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from omegaconf import DictConfig, OmegaConf

from chronosim.commands.choices import config_groups
from chronosim.commands.settings import compose_config, make_part
from chronosim.errors import InvalidConfig
from chronosim.frames import write_frame
from chronosim.protocols import Scenario
from chronosim.simulator import Simulator
from chronosim.studio.menu import brings_none, entry, named
from chronosim.studio.models import Models
from chronosim.studio.world import World
from chronosim.types import Frame

__all__ = ["Worlds"]

_SAMPLING = {"denoising_steps": (1, 200), "guidance": (0, 20)}
_SWITCHES = ("decode_trajectory",)
_PARTS = ("model", "prompter", "scenario")


class Worlds:
    """Makes the worlds of sessions, from names that a page sends; to be used by one thread.

    Args:
        config: The studio's settings; what was given for its own model and scenario holds where
            these are chosen.
        models: Loads the models.

    Attributes:
        scenario: Name of the scenario that the studio was started with.
        model: Name of its model.
    """

    def __init__(self, config: DictConfig, models: Models) -> None:
        self._config, self._models = config, models
        self.scenario = named(config, "scenario")
        self.model = named(config, "model")
        self._offered = list(dict.fromkeys([self.model, *map(str, config.models)]))

    def choices(self) -> dict[str, Any]:
        """Gives what can be chosen, in JSON values: names, each with what it is."""
        scenarios = list(dict.fromkeys([self.scenario, *config_groups()["scenario"]]))
        return {
            "scenarios": [entry("scenario", name) for name in scenarios],
            "models": [entry("model", name) for name in self._offered],
            "scenario": self.scenario,
            "model": self.model,
            "seed": self._config.seed,
        }

    def make(
        self,
        scenario: str,
        model: str,
        sampling: Mapping[str, Any],
        frame: Frame | None = None,
    ) -> World:
        """Makes a world; its model is loaded if it is not yet.

        Args:
            scenario: Name of a scenario.
            model: Name of one of the models that the studio offers.
            sampling: Settings of the sampler to change; empty: as the model has them.
            frame: The user's own, uint8 (height, width, 3), for scenarios that wait for one.

        Raises:
            InvalidConfig: A name or a setting that there is not.
            ChronosimError: Whatever the parts' own making raises.
        """
        _check_sampling(sampling)
        if model not in self._offered:
            raise InvalidConfig(
                f"this studio does not offer the model {model!r}, but: {', '.join(self._offered)}"
            )
        config = self._composed(scenario, model)
        prompter, begins = make_part(config, "prompter"), _scenario(config, frame)
        made = self._models.load(config, sampling)
        size = getattr(made, "frame_size", None)  # only some models work at one size alone
        settings: Any = OmegaConf.to_container(config, resolve=True)
        parts = {name: settings[name] for name in _PARTS}
        parts["model"] = {**parts["model"], **sampling}
        return World(scenario, model, Simulator(made, prompter), begins, parts, size)

    def maker(self, told: object, asked: str) -> str:
        """Names the scenario whose prompter an episode was made with.

        Args:
            told: The prompter as the episode's log has it.
            asked: The scenario that the page has chosen: it is the one if its prompter is, or if
                no other's is.
        """
        if not isinstance(told, str):
            return asked
        for name in dict.fromkeys([asked, self.scenario, *config_groups()["scenario"]]):
            try:
                prompter = make_part(self._composed(name, self.model), "prompter")
            except InvalidConfig:
                continue  # one that needs to be told more, or that there is not
            if repr(prompter) == told:
                return name
        return asked

    def _composed(self, scenario: str, model: str) -> DictConfig:
        """Settings with these choices; the studio's own where they are its own."""
        own = self._config
        if (scenario, model) == (self.scenario, self.model):
            return own
        for group, name in (("scenario", scenario), ("model", model)):
            known = config_groups()[group]
            if name not in (*known, getattr(self, group)):
                raise InvalidConfig(f"there is no {group} {name!r}; there are: {', '.join(known)}")
        other = [
            f"{group}={name}"
            for group, name in (("scenario", scenario), ("model", model))
            if name in config_groups()[group]
        ]
        config = compose_config("studio", other)
        if scenario == self.scenario:
            config.scenario, config.prompter = own.scenario, own.prompter
        if model == self.model:
            config.model = own.model
        return config


def _scenario(config: DictConfig, frame: Frame | None) -> Scenario:
    if frame is None or not brings_none(config.scenario):
        made: Scenario = make_part(config, "scenario")
        return made
    with TemporaryDirectory(prefix="chronosim-studio-") as folder:
        path = Path(folder) / "frame.png"
        write_frame(path, frame)
        brought: Scenario = make_part(config, "scenario", frame=str(path))
        return brought


def _check_sampling(sampling: Mapping[str, Any]) -> None:
    for name, value in sampling.items():
        if name in _SWITCHES and isinstance(value, bool):
            continue
        if name not in _SAMPLING:
            known = ", ".join([*_SAMPLING, *_SWITCHES])
            raise InvalidConfig(f"the studio sets {known}; there is no {name}={value!r}")
        low, high = _SAMPLING[name]
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidConfig(f"{name} must be a number, not {value!r}")
        if not low <= value <= high:
            raise InvalidConfig(f"{name} must lie from {low} to {high}, not {value}")
