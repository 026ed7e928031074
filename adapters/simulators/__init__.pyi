from .any_gymnasium import GymnasiumSimulator as GymnasiumSimulator
from .carracing import CarRacingSimulator as CarRacingSimulator
from .pusht import PushTSimulator as PushTSimulator
from .record import record_dataset as record_dataset
from .record import record_episode as record_episode
from .reference import ReferenceSimulator as ReferenceSimulator
