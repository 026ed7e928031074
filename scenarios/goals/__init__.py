"""What can count in a scenario: small callables, composed in YAML as a goal and a failure."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
