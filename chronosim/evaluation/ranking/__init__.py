"""Do policies rank in a world model as in the reference simulator? Figures, and what they carry."""

from chronosim.evaluation.ranking.agreement import Agreement, agree, mmrv, pearson, spearman
from chronosim.evaluation.ranking.contestants import Cloning, Contestant, read_contestants
from chronosim.evaluation.ranking.rank import Claim, judge, rank, ranking_section
from chronosim.evaluation.ranking.tournament import Contest, Ranking, Scoreboard

__all__ = [
    "Agreement",
    "Claim",
    "Cloning",
    "Contest",
    "Contestant",
    "Ranking",
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
