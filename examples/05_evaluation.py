"""Measures how far a world model can be believed, against the real CarRacing on unseen seeds.

The report is a page, report/report.html, with results.json and all frames beside it. What is
finished stays: the same call goes on, and more sections join the same report.

Usage: python examples/05_evaluation.py [model] [moments]
"""

import sys

from chronosim import settings
from chronosim.evaluation import Reference, Simulated, evaluate
from chronosim.policies import AnyDrive, DriverMix
from chronosim.prompters import Driving
from chronosim.simulators import CarRacingSimulator

model = settings.load("model", sys.argv[1] if len(sys.argv) > 1 else "nano")
moments = int(sys.argv[2]) if len(sys.argv) > 2 else 100
# Who drives in the real simulator, and who tells what else could have been done at each moment.
truth = Reference(CarRacingSimulator, Driving(), policy=DriverMix, alternatives=AnyDrive)
report = evaluate(model, Simulated(truth, windows=moments), "report", sections="outcomes")
print(report.markdown())
