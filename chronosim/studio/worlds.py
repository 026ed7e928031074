"""The worlds that a page may choose from, how they are made and how they begin."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from jaxtyping import UInt8
from omegaconf import DictConfig, OmegaConf

from chronosim.errors import InvalidConfig, InvalidEpisode
from chronosim.frames import fit_frame, middle_of, write_frame
from chronosim.models.engine.sizes import AREA, Sizing, read_sizing
from chronosim.models.loading.presets import PRESETS, larger_models
from chronosim.protocols import Scenario
from chronosim.seeds import generator
from chronosim.settings.compose import CONF, compose_config, config_groups, settings_text
from chronosim.settings.parts import make_part, waits_for_frame
from chronosim.studio.workshop import Models
from chronosim.types import Frame, Observation
from chronosim.world import World

_SAMPLING = {"denoising_steps": (1, 200), "guidance": (0, 20)}
_SWITCHES = ("decode_trajectory",)
_PARTS = ("model", "prompter", "scenario")


class Worlds:
    """Makes the worlds of sessions, from names that a page sends; to be used by one thread.

    Args:
        config: The studio's settings; those of its own model and scenario hold where these are
            chosen.
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
        """Gives the choices, in JSON values."""
        scenarios = list(dict.fromkeys([self.scenario, *config_groups()["scenario"]]))
        return {
            "scenarios": [entry("scenario", name) for name in scenarios],
            "models": [
                {**entry("model", name), "small": self._only_size(name) is not None}
                for name in self._offered
            ],
            "leads_on": larger_models(),
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
    ) -> ChosenWorld:
        """Makes a world; its model is loaded if it is not yet.

        Args:
            scenario: Name of a scenario.
            model: Name of one of the models that the studio offers.
            sampling: Settings of the sampler to change; empty: as the model has them.
            frame: A first frame of the user's own, uint8 (height, width, 3). It becomes that of a
                scenario that waits for one, whose values then hold; else it replaces the scenario's
                frame and values, as in `ChronoEnv.reset`. None: the scenario's.

        Raises:
            InvalidConfig: A name or a setting is unknown.
            ChronosimError: A part cannot be made.
        """
        _check_sampling(sampling)
        if model not in self._offered:
            raise InvalidConfig(
                f"this studio does not offer the model {model!r}, but: {', '.join(self._offered)}"
            )
        config = self._composed(scenario, model)
        prompter, waits = make_part(config, "prompter"), waits_for_frame(config.scenario)
        begins = _scenario(config, frame if waits else None)
        made = self._models.load(config, sampling)
        size = getattr(made, "frame_size", None)  # only some models work at one size alone
        settings: Any = OmegaConf.to_container(config, resolve=True)
        parts = {name: settings[name] for name in _PARTS}
        parts["model"] = {**parts["model"], **sampling}
        world = World(made, prompter, begins, frame_size=size)
        return ChosenWorld(scenario, model, world, parts, None if waits else frame)

    def look(
        self, scenario: str, model: str, frame: Frame
    ) -> tuple[UInt8[np.ndarray, "rows columns 3"], float]:
        """Shows how a world would begin with a picture; nothing is loaded.

        Args:
            scenario: Name of a scenario.
            model: Name of a model.
            frame: The picture, uint8 (height, width, 3).

        Returns:
            The first frame, and the part of the picture that it shows, 0 to 1.

        Raises:
            InvalidConfig: A name is unknown.
            InvalidFrame: The picture cannot be fitted.
        """
        settings, only = self._settings("scenario", scenario), self._only_size(model)
        if waits_for_frame(settings):
            sizing = read_sizing(settings.get("size"), settings.get("area", AREA))
        else:
            sizing = Sizing("fit")
        if only is not None:
            return fit_frame(frame, only), _share(frame, only)
        fitted = sizing.there(frame)
        return fitted, 1.0 if sizing.size is None else _share(frame, sizing.size)

    def _settings(self, group: str, name: str) -> Mapping[str, Any]:
        """A choice's settings; the studio's own where it is its own."""
        if name == getattr(self, group):
            own: Any = OmegaConf.to_container(self._config[group])
            return dict(own)
        known = config_groups()[group]
        if name not in known:
            raise InvalidConfig(f"there is no {group} {name!r}; there are: {', '.join(known)}")
        return _file(group, name)[1]

    def _only_size(self, model: str) -> tuple[int, int] | None:
        """The one size that a model of small worlds works at."""
        settings = self._settings("model", model)
        preset = PRESETS.get(str(settings.get("preset") or settings.get("name")))
        return None if preset is None else preset.frame_size

    def maker(self, told: object, asked: str) -> str:
        """Names the scenario whose prompter an episode was made with.

        Args:
            told: The prompter as the episode's log has it.
            asked: The scenario that the page chose: the answer if its prompter is the one, or if
                that of no scenario is, nor one of the same kind.
        """
        if not isinstance(told, str):
            return asked
        akin: str | None = None
        for name in dict.fromkeys([asked, self.scenario, *config_groups()["scenario"]]):
            try:
                prompter = make_part(self._composed(name, self.model), "prompter")
            except InvalidConfig:
                continue  # one that needs to be told more, or that there is not
            if repr(prompter) == told:
                return name
            if akin is None and told.startswith(f"{type(prompter).__name__}("):
                akin = name  # of another time: a log of today has settings that one lacks
        return akin or asked

    def _composed(self, scenario: str, model: str) -> DictConfig:
        """Composes settings with these choices; the studio's own where they are its own."""
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


def _share(frame: Frame, size: tuple[int, int]) -> float:
    """The part of a picture that is left where its middle is cut to a shape."""
    seen = frame[middle_of(frame, size[0] / size[1])]
    return float(seen.size / frame.size)


def _scenario(config: DictConfig, frame: Frame | None) -> Scenario:
    if frame is None:
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


@dataclass(frozen=True, slots=True, eq=False)
class ChosenWorld:
    """A world and the choices of a page that it was made of.

    Attributes:
        scenario_name: Name of the scenario.
        model_name: Name of the model.
        world: The model, the prompter and the scenario.
        settings: Of all parts, as they would be made again (for the log).
        own_frame: The first frame, where it is not the scenario's: uint8 (height, width, 3).
    """

    scenario_name: str
    model_name: str
    world: World
    settings: Mapping[str, Any]
    own_frame: Frame | None = None

    def begin(self, seed: int) -> tuple[Observation, int]:
        """Begins an episode exactly as `ChronoEnv.reset` would.

        Args:
            seed: Of the scenario's draw and of the noise, >= 0.

        Returns:
            The first observation, and the seed that the noise of its steps follows from.

        Raises:
            InvalidFrame: The frame cannot be fitted.
            InvalidConfig: The scenario's values do not suit the prompter.
        """
        frame = self.own_frame
        if frame is not None and self.world.frame_size is None:
            frame = Sizing("fit").there(frame)
        return self.world.begin(generator(seed), frame=frame)

    def check_fit(self, first: Observation, name: str) -> None:
        """Checks that an episode from elsewhere can go on in this world.

        Args:
            first: Its first observation.
            name: Its name.

        Raises:
            InvalidEpisode: Its frames or commanded states have another shape.
        """
        size, kept = first.frame.shape[:2], self.world.prompter.state_space.shape
        if first.state.shape != kept:
            raise InvalidEpisode(
                f"{name} keeps {len(first.state)} commanded numbers, but the world "
                f"{self.scenario_name} keeps {kept[0]}: choose the world it was made in"
            )
        wanted = self.world.frame_size
        if wanted is not None and wanted != size:
            raise InvalidEpisode(
                f"{name} shows frames of {size[0]} x {size[1]}, but {self.model_name} works at "
                f"{wanted[0]} x {wanted[1]}: choose a model that takes its size"
            )

    def about(self, seed: int | None, lineage: Mapping[str, Any] | None) -> dict[str, Any]:
        """Gives the `about` of a saved episode, in JSON values.

        Args:
            seed: The seed that the whole episode follows from; None where there is none.
            lineage: Of a fork, as in `World.about`.
        """
        told = self.world.about(seed=seed, lineage=lineage)
        config = {**self.settings, "policy": None, "horizon": None, "seed": seed}
        return {**told, "policy": "studio", "config": config}


def named(config: DictConfig, group: str) -> str:
    """Names the choice that a part of the studio's settings was composed from.

    Args:
        config: The settings; Hydra does not keep what was chosen.
        group: `model` or `scenario`, also the part's name.

    Returns:
        The choice most like it (some of its settings may have been given), or the name of a class
        of the user's own.
    """
    ours: Any = OmegaConf.to_container(config[group])
    best, most = str(ours["_target_"]).rpartition(".")[2], 0
    usual = re.findall(rf"^ *- {group}: (.+)$", settings_text("studio"), re.MULTILINE)
    for name in dict.fromkeys([*usual, *config_groups()[group]]):
        if _file(group, name)[1].get("_target_", ours["_target_"]) != ours["_target_"]:
            continue
        try:
            composed = compose_config("studio", [f"{group}={name}"])
        except InvalidConfig:
            continue  # one that needs to be told more
        theirs: Any = OmegaConf.to_container(composed[group])
        if theirs == ours:
            return name
        alike = sum(ours.get(key) == value for key, value in theirs.items())
        if theirs["_target_"] == ours["_target_"] and alike > most:
            best, most = name, alike
    return best


def entry(group: str, name: str) -> dict[str, Any]:
    """Gives a choice in JSON values.

    Args:
        group: `model` or `scenario`.
        name: The choice.

    Returns:
        Its `name`; the first comment of its file (`says`); settings that it `needs` where the
        studio is started; and what a frame of the user's must show, if it `wants` one, or None.
    """
    text, settings = _file(group, name)
    lines = [line for line in text.splitlines() if not line.startswith("# @package")]
    comment = takewhile(lambda line: line.startswith("#"), lines)
    return {
        "name": name,
        "says": " ".join(line.removeprefix("#").strip() for line in comment),
        "needs": [line.partition(":")[0].strip() for line in lines if ": ???" in line],
        "wants": settings.get("wants", "a picture") if waits_for_frame(settings) else None,
    }


def _file(group: str, name: str) -> tuple[str, Mapping[str, Any]]:
    """A choice's file, as text and as settings; empty if there is none of that name."""
    file = CONF / group / f"{name}.yaml"
    text = file.read_text("utf-8") if file.is_file() else "{}"
    settings: Any = OmegaConf.to_container(OmegaConf.create(text))
    whole_world = "# @package _global_" in text  # which has a part of the group's name
    return text, settings[group] if whole_world else settings
