"""Gives a world model by its name, its folder or its hub id; light until one is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chronosim.errors import InvalidConfig
from chronosim.protocols import WorldModel
from chronosim.settings import parts


def load_model(model: str | Path | WorldModel, /, **settings: Any) -> WorldModel:
    """Gives a world model by name, folder or hub id; one that is made is given back.

    Raises:
        InvalidConfig: The name or a setting is unknown, or settings come with a model that is made.
        ModelNotFound: The weights, or one of their files, are missing.
        InvalidModel: The files cannot work together.
    """
    if not isinstance(model, str | Path):
        if settings:
            raise InvalidConfig(
                f"{', '.join(settings)}: a model that is made takes no settings; make it with them"
            )
        return model
    name = str(model)
    if name in parts.names("model") or not (Path(model).is_dir() or "/" in name):
        made: WorldModel = parts.load("model", name, **settings)
        return made
    from chronosim.models.loading.load import load  # here: it brings torch and diffusers

    return load(model, **settings)
