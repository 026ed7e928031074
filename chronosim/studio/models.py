"""The models a studio may use: loaded when first asked for, kept, and never run two at once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from chronosim.commands.settings import make_part
from chronosim.errors import InvalidConfig
from chronosim.protocols import WorldModel

__all__ = ["Models", "Progress"]

Progress = Callable[[int, int], None]
"""Called with the denoising steps done and all of the call's."""


class Models:
    """Loads models and keeps them; to be used by one thread.

    A model that a session still uses stays in memory however many are kept here, and is never
    loaded a second time beside itself.

    Args:
        progress: Told how far the prediction that is running has come.
        most: How many stay loaded though no session uses them; the one unused for longest goes
            first.
    """

    def __init__(self, progress: Progress, *, most: int = 2) -> None:
        self._progress = progress
        self._most = most
        self._loaded: dict[str, WorldModel] = {}
        self._alive: WeakValueDictionary[str, WorldModel] = WeakValueDictionary()
        # A session that set the sampler has an engine of its own, of the weights of another.
        self._weights: WeakKeyDictionary[WorldModel, WorldModel] = WeakKeyDictionary()

    def load(self, config: DictConfig, sampling: Mapping[str, Any]) -> WorldModel:
        """Gives a model.

        Args:
            config: Settings with a part `model`.
            sampling: Fields of `Sampling` to set otherwise; the weights are shared.

        Raises:
            InvalidConfig: A setting that this model does not have.
            ChronosimError: Whatever the model's own making raises.
        """
        key = OmegaConf.to_yaml(config.model)
        known = self._loaded.pop(key, None)
        model = self._alive.get(key) if known is None else known
        while len(self._loaded) >= self._most:
            self._loaded.pop(next(iter(self._loaded)))  # before the next one needs its memory
        if model is None:
            model = make_part(config, "model", **self._told(config))
        self._loaded[key] = model
        with suppress(TypeError):  # a class of __slots__ alone; such a model is loaded anew
            self._alive[key] = model
        if not sampling:
            return model
        resampled = _resampled(model, sampling)
        self._weights[resampled] = model
        return resampled

    def _told(self, config: DictConfig) -> dict[str, Any]:
        """What lets a model tell how far it is, for those that do."""
        target = get_object(str(config.model.get("_target_")))
        known = inspect.signature(target).parameters
        return {"progress": self._progress} if "progress" in known else {}


def _resampled(model: WorldModel, sampling: Mapping[str, Any]) -> WorldModel:
    from dataclasses import fields, replace

    from chronosim.models.chronoedit import ChronoEdit  # torch: not every model needs it
    from chronosim.models.sampling import Sampling

    if not isinstance(model, ChronoEdit):
        raise InvalidConfig(
            f"the model {model.identity['name']} has no sampler that the studio can set: "
            "leave its settings as they are"
        )
    known = {field.name for field in fields(Sampling)}
    for name in sampling:
        if name not in known:
            raise InvalidConfig(f"a sampler has no setting {name!r}")
    return model.resampled(replace(model.sampling, **sampling))
