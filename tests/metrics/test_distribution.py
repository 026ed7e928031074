"""Fréchet distances beside torchmetrics' FID in the features of one random network."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from chronosim.errors import InvalidConfig, InvalidModel, ModelNotFound
from chronosim.metrics.distribution import Distance, frechet_distance, load_i3d, load_inception

Draw = Callable[..., Any]
jit: Any = torch.jit  # untyped


class Eye(nn.Module):
    """A network of random weights, of frames or clips."""

    def __init__(self, *, clips: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolution = nn.Conv3d(3, 6, (2, 5, 5)) if clips else nn.Conv2d(3, 6, 5)
        self.num_features = 6

    def forward(self, frames: Tensor, return_features: bool = True) -> Tensor:
        return self.convolution(frames / 255).relu().flatten(2).mean(2)


def test_fid_is_that_of_torchmetrics(draw: Draw) -> None:
    from torchmetrics.image.fid import FrechetInceptionDistance

    network, real, made = Eye().eval(), draw(40, side=32), draw(30, side=32, seed=5, noise=60)
    theirs: Any = FrechetInceptionDistance(feature=network, input_img_size=(3, 32, 32))
    for frames, is_real in ((real, True), (made, False)):
        theirs.update(torch.from_numpy(frames.transpose(0, 3, 1, 2).copy()), real=is_real)
    ours = Distance(network, "eye").of_frames(list(made), list(real))
    assert ours == pytest.approx(float(theirs.compute()), rel=1e-4)
    assert ours > 1e-5


def test_it_is_known_for_gaussians_and_nothing_between_equals() -> None:
    a = np.random.default_rng(0).normal(size=(200_000, 2))
    # Between normal distributions: squared difference of means, plus of deviations.
    assert frechet_distance(a, a * [1, 3] + [2, 0]) == pytest.approx(4 + 4, rel=0.02)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(a[:, :1], a[:, :1] + 1) == pytest.approx(1)
    with pytest.raises(InvalidConfig, match="at least 2 of each, not 1 and 9"):
        frechet_distance(a[:1], a[:9])


def test_clips_are_compared_whole(draw: Draw) -> None:
    clips = [draw(6, side=16, seed=seed) for seed in range(8)]
    distance = Distance(Eye(clips=True).eval(), "eye")
    still = [np.repeat(clip[:1], 6, axis=0) for clip in clips]
    assert distance.of_clips(clips, clips) == pytest.approx(0, abs=1e-9)
    assert distance.of_clips(still, clips) > 1e-6


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # of making them, here
def test_networks_come_from_torchscript(draw: Draw, tmp_path: Path) -> None:
    jit.script(Eye().eval()).save(str(tmp_path / "inception.pt"))
    loaded = load_inception(tmp_path / "inception.pt")
    frames = list(draw(5, side=32))
    own = Distance(Eye().eval(), "eye")
    assert loaded.name == "inception.pt"
    other = list(draw(5, side=32, seed=3))
    assert loaded.of_frames(frames, other) == pytest.approx(own.of_frames(frames, other))
    jit.script(nn.Flatten(0)).save(str(tmp_path / "other.pt"))
    with pytest.raises(InvalidModel, match=r"other\.pt does not take frames of shape"):
        load_inception(tmp_path / "other.pt").of_frames(frames, frames)


def test_what_is_missing_is_said_with_where_it_is_to_be_had(tmp_path: Path) -> None:
    with pytest.raises(
        ModelNotFound, match=r"no weights at .*none\.pt; FID needs .*download incep"
    ):
        load_inception(tmp_path / "none.pt")
    with pytest.raises(ModelNotFound, match=r"FVD needs .*download i3d_torchscript"):
        load_i3d(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("no network")
    with pytest.raises(InvalidModel, match=r"text\.pt is no network in TorchScript"):
        load_i3d(tmp_path / "text.pt")
