"""How far a world model can be believed, measured against the simulator it imitates."""

from chronosim.evaluation.moments import Moment, draw_moments
from chronosim.evaluation.predictions import Autoencoding, copy_frame, predict, reconstruct
from chronosim.evaluation.recordings import Recording, draw_recordings
from chronosim.evaluation.reference import Reference, Region
from chronosim.evaluation.rollouts import Drift, roll_out, score_rollouts
from chronosim.evaluation.scores import Closeness, Scores, Share, score

__all__ = [
    "Autoencoding",
    "Closeness",
    "Drift",
    "Moment",
    "Recording",
    "Reference",
    "Region",
    "Scores",
    "Share",
    "copy_frame",
    "draw_moments",
    "draw_recordings",
    "predict",
    "reconstruct",
    "roll_out",
    "score",
    "score_rollouts",
]
