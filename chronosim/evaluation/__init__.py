"""How far a world model can be believed, measured against the simulator it imitates."""

from chronosim.evaluation.fidelity.rollouts import Drift, roll_out, score_rollouts
from chronosim.evaluation.outcomes.predictions import Autoencoding, copy_frame, predict, reconstruct
from chronosim.evaluation.outcomes.scores import Closeness, Scores, Share, score
from chronosim.evaluation.truth.moments import Moment, draw_moments
from chronosim.evaluation.truth.recordings import Recording, draw_recordings
from chronosim.evaluation.truth.reference import Reference, Region

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
