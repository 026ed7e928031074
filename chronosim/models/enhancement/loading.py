"""Puts a writer around a model that is named: what the model's YAML calls."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chronosim import config
from chronosim.errors import InvalidConfig
from chronosim.models.enhancement.enhanced import Enhanced, Writer
from chronosim.models.enhancement.forms import Form
from chronosim.models.loading import load as load_chronoedit
from chronosim.protocols import WorldModel

__all__ = ["load"]


def load(
    model: str | Path | WorldModel,
    writer: Writer,
    form: str | Form = "edit",
    *,
    remembered: int = 256,
    settings: Mapping[str, Any] | None = None,
) -> Enhanced:
    """Gives a world model that has each edit worded out.

    Args:
        model: A world model; or a name in `scenarios/conf/model`, a local folder, or a hub id.
        writer: The language model.
        form: A key of `FORMS`, or a form of your own.
        remembered: How many wordings are kept.
        settings: Of the model, where it is named.

    Raises:
        InvalidConfig: An unknown name or setting.
        ChronosimError: Whatever the model's own making raises.
    """
    return Enhanced(_find(model, dict(settings or {})), writer, form, remembered=remembered)


def _find(model: str | Path | WorldModel, settings: dict[str, Any]) -> WorldModel:
    if isinstance(model, str) and model in config.names("model"):
        named: WorldModel = config.load("model", model, **settings)
        return named
    if isinstance(model, str | Path):
        return load_chronoedit(model, **settings)
    if settings:
        raise InvalidConfig(
            f"{', '.join(settings)}: a model that is made takes no settings; make it with them"
        )
    return model
