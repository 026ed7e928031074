"""How the actions of a robot or car are worded; each translates one action space."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
