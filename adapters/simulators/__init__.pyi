from .any_gymnasium import GymnasiumSimulator as GymnasiumSimulator
from .carracing import CarRacingSimulator as CarRacingSimulator
from .pusht import PushTSimulator as PushTSimulator
from .reference import ReferenceSimulator as ReferenceSimulator
