from .parts import companion as companion
from .parts import load as load
from .parts import names as names
