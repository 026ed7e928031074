"""Who acts: scripted, random, cloned, planned and handicapped policies."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
