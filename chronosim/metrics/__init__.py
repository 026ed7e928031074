"""Figures of frames: how far apart, how sharp, how likely, how well edited.

Importing this package stays light; PyTorch comes with what needs it.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
