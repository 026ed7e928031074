"""Do policies rank in a world model as in the reference simulator? Figures, and what they carry."""

from chronosim.evaluation.ranking.agreement import Agreement, agree
from chronosim.evaluation.ranking.contest import Cloning, Contest, Contestant, read_contestants
from chronosim.evaluation.ranking.rank import Claim, judge, rank, ranking_section
from chronosim.evaluation.ranking.statistics import mmrv, pearson, spearman
from chronosim.evaluation.ranking.tournament import Scoreboard

__all__ = [
    "Agreement",
    "Claim",
    "Cloning",
    "Contest",
    "Contestant",
    "Scoreboard",
    "agree",
    "judge",
    "mmrv",
    "pearson",
    "rank",
    "ranking_section",
    "read_contestants",
    "spearman",
]
