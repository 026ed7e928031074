from .recipe import Recipe as Recipe
from .recipe import train_pipeline as train_pipeline
from .trainer import Objective as Objective
from .trainer import Schedule as Schedule
from .trainer import train as train
from .windows import TrainingData as TrainingData
from .windows import Windows as Windows
from .windows import load_windows as load_windows
