"""World models: ChronoEdit through diffusers, its presets, and how they are loaded.

`load` gives a model by a preset's name, a local folder or a hub id. Importing this package stays
light; PyTorch is imported when a model is loaded.
"""

from chronosim.models.presets import PRESETS, Preset, load
from chronosim.models.sampling import Sampling

__all__ = ["PRESETS", "Preset", "Sampling", "load"]
