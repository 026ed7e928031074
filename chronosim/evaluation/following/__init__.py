"""Does the action decide what a model predicts? Retrieval, controls, and a probe."""

from chronosim.evaluation.following.following import following
from chronosim.evaluation.following.recorded import following_recorded

__all__ = ["following", "following_recorded"]
