"""Two processes that torchrun started answer as one does."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from chronosim.cli.main import main
from chronosim.errors import InvalidFrame
from chronosim.frames import read_frame
from chronosim.models.engine.parallel import check_shares

GIVEN = ["predict", "model.name=nano", "+model.denoising_steps=2", "+model.guidance=2.0"]
WORKER = """
import os, sys
import torch
torch.set_num_threads(1)
from chronosim.cli.main import main
from chronosim.models.loading.load import load
model = load("nano", parallel="ulysses")  # the command will be given the same weights
tokens = []
block = model.components.transformer.blocks[1]
block.ffn.register_forward_hook(lambda _, given, __: tokens.append(given[0].shape[1]))
status = main(sys.argv[2:])
with open(f"{sys.argv[1]}/tokens{os.environ['RANK']}", "w") as file:
    print(*tokens, file=file)
sys.exit(status)
"""


@pytest.mark.slow
def test_predict_just_works_under_torchrun(tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text(WORKER)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    given = [*GIVEN, f"output={tmp_path / 'two'}"]
    done = subprocess.run(
        [*torchrun, str(tmp_path / "worker.py"), str(tmp_path), *given],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("outcome.png") == 1, "only the first process prints"
    # 4 latent frames of 36 tokens, two guided forwards in each of two steps, shared by two.
    assert [(tmp_path / f"tokens{rank}").read_text().split() for rank in (0, 1)] == [["72"] * 4] * 2
    assert main([*GIVEN, f"output={tmp_path / 'one'}"]) == 0
    one, two = (read_frame(tmp_path / name / "outcome.png").astype(int) for name in ("one", "two"))
    assert np.abs(one - two).max() <= 1


class Shared:
    """Stands for a transformer that four processes share."""

    class _parallel_config:  # noqa: N801
        _world_size = 4


def test_frames_that_cannot_be_split_are_refused() -> None:
    check_shares(Shared(), 6)
    with pytest.raises(InvalidFrame, match="the 6 tokens of a frame and its outcome cannot be"):
        check_shares(Shared(), 3)
