"""How far a world model can be believed, measured against the simulator it imitates."""

from chronosim.evaluation.moments import Moment, draw_moments
from chronosim.evaluation.scores import Scores, score_outcomes

__all__ = ["Moment", "Scores", "draw_moments", "score_outcomes"]
