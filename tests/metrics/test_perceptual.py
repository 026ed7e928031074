"""LPIPS by a random backbone, beside the formula of lpips 0.1.4 written out.

lpips itself imports torchvision, whose wheels break transformers beside a CPU torch.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

import chronosim.metrics
from chronosim.errors import InvalidFrame, InvalidModel, ModelNotFound
from chronosim.metrics.perceptual import Perceptual, load_alexnet

Draw = Callable[..., Any]
HEADS = Path(chronosim.metrics.__file__).with_name("lpips") / "alexnet.safetensors"
SHAPES = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)}


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A file like torchvision's, with random weights."""
    torch.manual_seed(0)
    found = {}
    for index, (out, into, side) in SHAPES.items():
        found[f"features.{index}.weight"] = torch.randn(out, into, side, side) * 0.05
        found[f"features.{index}.bias"] = torch.randn(out) * 0.05
    found["classifier.1.weight"] = torch.zeros(2, 2)  # which LPIPS does not look at
    torch.save(found, tmp_path / "alexnet.pth")
    return tmp_path / "alexnet.pth"


def written_out(path: Path, a: Any, b: Any) -> float:
    """LPIPS of two frames, step by step as its authors compute it."""
    weights, heads = torch.load(path, weights_only=True), load_file(HEADS)

    def layers(frame: Any) -> list[torch.Tensor]:
        x = torch.from_numpy(frame.transpose(2, 0, 1).copy()).float()[None] / 255 * 2 - 1
        shift = torch.tensor([-0.030, -0.088, -0.188])[None, :, None, None]
        x = (x - shift) / torch.tensor([0.458, 0.448, 0.450])[None, :, None, None]
        found = []
        for index, stride, padding, pooled in (
            *((0, 4, 2, False), (3, 1, 2, True), (6, 1, 1, True)),
            *((8, 1, 1, False), (10, 1, 1, False)),
        ):
            x = F.max_pool2d(x, 3, 2) if pooled else x
            name = f"features.{index}"
            x = F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], stride, padding)
            x = F.relu(x)
            found.append(x)
        return found

    total = 0.0
    for number, (x, y) in enumerate(zip(layers(a), layers(b), strict=True)):
        x = x / (torch.sqrt((x**2).sum(1, keepdim=True)) + 1e-10)
        y = y / (torch.sqrt((y**2).sum(1, keepdim=True)) + 1e-10)
        head = heads[f"layer{number}"].view(1, -1, 1, 1)
        total += float(F.conv2d((x - y) ** 2, head).mean())
    return total


def test_it_is_the_formula_of_lpips(draw: Draw, weights: Path) -> None:
    a, b = draw(3, side=64), draw(3, side=64, seed=7)
    found = load_alexnet(weights)(a, b)
    np.testing.assert_allclose(
        found, [written_out(weights, *pair) for pair in zip(a, b, strict=True)], rtol=1e-4
    )
    assert found.min() > 0.01
    assert load_alexnet(weights)(a, a) == pytest.approx(0)


def test_any_network_can_look(draw: Draw) -> None:
    def pixels(frames: torch.Tensor) -> list[torch.Tensor]:
        return [frames]

    by_pixels = Perceptual(pixels, [torch.ones(3)], name="pixels")
    dark, light = np.full((2, 1, 64, 64, 3), 10, np.uint8)
    light[..., 0] = 200
    assert by_pixels(dark, light) > by_pixels(dark, dark)
    with pytest.raises(InvalidModel, match=r"pixels has layers of \[3\] channels, .* \[4\]"):
        Perceptual(pixels, [torch.ones(4)], name="pixels")(dark, light)


def test_what_is_wrong_is_said(draw: Draw, weights: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"LPIPS needs .* alexnet-owt-7be5be79\.pth"):
        load_alexnet(tmp_path / "none.pth")
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(InvalidModel, match="holds no weights of AlexNet"):
        load_alexnet(tmp_path / "text.pth")
    torch.save({"other": torch.ones(1)}, tmp_path / "other.pth")
    with pytest.raises(InvalidModel, match="holds no weights of AlexNet"):
        load_alexnet(tmp_path / "other.pth")
    small = draw(1, side=24)
    with pytest.raises(InvalidFrame, match="at least 32 pixels a side, not 24 x 24"):
        load_alexnet(weights)(small, small)
