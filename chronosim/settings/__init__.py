"""Settings: composed, checked, made into parts; and what a log may make.

::

    chronosim.settings.names("scenario")  # what can be chosen
    prompter = chronosim.settings.load("prompter", "driving", resolution=10)
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
