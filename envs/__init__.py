"""What Gymnasium sees: environments, their registration, and wrappers."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
