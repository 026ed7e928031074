from .recording import record as record
from .rollout import run as run
from .shards import Progress as Progress
from .shards import Rollouts as Rollouts
from .shards import episode_name as episode_name
from .shards import processes as processes
