"""World models: ChronoEdit through diffusers, and its presets.

`chronosim.models.loading.load` gives a model by a preset's name, a local folder or a hub id.
Importing this package stays light: PyTorch comes with `loading`.
"""

from chronosim.models.presets import PRESETS, Preset
from chronosim.models.sampling import Sampling

__all__ = ["PRESETS", "Preset", "Sampling"]
