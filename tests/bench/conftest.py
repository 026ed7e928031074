"""The engine's small models, for what is timed."""

from tests.models.conftest import compact, kit

__all__ = ["compact", "kit"]
