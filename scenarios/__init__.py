"""Where episodes begin and what counts in them; `conf/` holds the config groups."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
