"""Episodes to and from the formats of the field, one file or folder each."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
