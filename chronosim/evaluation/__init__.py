"""How far a world model can be believed, measured against the simulator it imitates."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
