"""The loop: exact resume, an average that is kept, a log and its picture."""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from chronosim.errors import InvalidConfig
from chronosim.training import trainer
from chronosim.training.trainer import Schedule, train

SCHEDULE = Schedule(steps=8, learning_rate=0.05, warmup=2, evaluate_every=2)


class Line:
    """Fits y = 3 x + 1 from noisy draws; can be killed at a step."""

    def __init__(self, killed_at: int | None = None) -> None:
        torch.manual_seed(0)
        self.layer = nn.Linear(1, 1)
        self.left = killed_at

    @property
    def module(self) -> nn.Module:
        return self.layer

    def loss(self, progress: float, rng: np.random.Generator, noise: torch.Generator) -> Tensor:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
        x = torch.from_numpy(rng.random((16, 1), np.float32))
        y = 3 * x + 1 + 0.1 * torch.randn(x.shape, generator=noise)
        return nn.functional.mse_loss(self.layer(x), y)

    def evaluate(self) -> Mapping[str, float]:
        return {"slope": self.layer.weight.item()}


def test_a_training_that_was_killed_ends_bit_for_bit_like_one_that_was_not(tmp_path: Path) -> None:
    whole = train(Line(), SCHEDULE, tmp_path / "whole").state_dict()
    with pytest.raises(KeyboardInterrupt):
        train(Line(killed_at=5), SCHEDULE, tmp_path / "killed")
    resumed = train(Line(), SCHEDULE, tmp_path / "killed").state_dict()
    for name, value in whole.items():
        assert torch.equal(value, resumed[name])


class Adapted(Line):
    """A frozen layer, and a small one that learns on top of it."""

    def __init__(self) -> None:
        super().__init__()
        self.both = nn.Sequential(nn.Linear(1, 64).requires_grad_(False), nn.Linear(64, 1))
        self.layer = self.both  # type: ignore[assignment]

    def evaluate(self) -> Mapping[str, float]:
        return {"loss": 0.0}


def test_what_is_frozen_is_neither_changed_nor_saved(tmp_path: Path) -> None:
    before = Adapted().both.state_dict()
    told: list[tuple[str, int, int]] = []
    after = train(
        Adapted(), SCHEDULE, tmp_path / "lora", progress=lambda *how_far: told.append(how_far)
    ).state_dict()
    assert torch.equal(after["0.weight"], before["0.weight"])
    assert not torch.equal(after["1.weight"], before["1.weight"])
    kept = torch.load(tmp_path / "lora" / "checkpoint.pt", weights_only=True)
    for part in ("module", "average"):
        assert set(kept[part]) == {"1.weight", "1.bias"}
    assert told == [("lora", step, 8) for step in range(9)]
    again = train(Adapted(), SCHEDULE, tmp_path / "lora").state_dict()
    assert all(torch.equal(after[name], again[name]) for name in after)


def test_a_checkpoint_of_all_weights_is_gone_on_with(tmp_path: Path) -> None:
    """As earlier builds wrote it, frozen ones and all."""
    whole = train(Adapted(), SCHEDULE, tmp_path).state_dict()
    path = tmp_path / "checkpoint.pt"
    kept = torch.load(path, weights_only=True)
    frozen = {name: value for name, value in whole.items() if name.startswith("0.")}
    torch.save(kept | {part: kept[part] | frozen for part in ("module", "average")}, path)
    again = train(Adapted(), SCHEDULE, tmp_path).state_dict()
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    del kept["module"]["1.bias"]
    torch.save(kept, path)
    with pytest.raises(InvalidConfig, match=r"is of another module: 1\.bias"):
        train(Adapted(), SCHEDULE, tmp_path)


def test_a_finished_training_is_not_trained_again(tmp_path: Path) -> None:
    first = train(Line(), SCHEDULE, tmp_path).state_dict()
    again = train(Line(killed_at=0), SCHEDULE, tmp_path).state_dict()
    assert torch.equal(first["weight"], again["weight"])


def test_it_learns_and_logs_and_draws(tmp_path: Path) -> None:
    schedule = Schedule(steps=300, learning_rate=0.1, warmup=5, evaluate_every=100, ema=0.9)
    layer = train(Line(), schedule, tmp_path)
    assert isinstance(layer, nn.Linear)
    assert layer.weight.item() == pytest.approx(3, abs=0.3)
    with (tmp_path / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["100", "200", "300"]
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    assert (tmp_path / "curve.png").stat().st_size > 1000


def test_the_rate_rises_then_falls_to_a_fiftieth() -> None:
    schedule = Schedule(steps=1000, learning_rate=1.0, warmup=10)
    assert schedule.rate(0) == pytest.approx(0.1)
    assert schedule.rate(9) == pytest.approx(1.0)
    assert schedule.rate(999) == pytest.approx(0.02, abs=1e-4)


@pytest.mark.parametrize("changes", [{"steps": -1}, {"learning_rate": -1.0}, {"ema": 1.0}])
def test_a_schedule_that_cannot_be_is_refused(changes: dict[str, float]) -> None:
    with pytest.raises(InvalidConfig):
        Schedule(**({"steps": 1, "learning_rate": 1.0} | changes))  # type: ignore[arg-type]


def test_fewer_steps_than_were_trained_are_refused(tmp_path: Path) -> None:
    train(Line(), SCHEDULE, tmp_path)
    with pytest.raises(InvalidConfig, match="was trained for 8 steps already"):
        train(Line(), Schedule(steps=6, learning_rate=0.05, evaluate_every=2), tmp_path)


def test_a_stage_of_no_steps_is_left_out(tmp_path: Path) -> None:
    line = Line()
    before = {name: value.clone() for name, value in line.module.state_dict().items()}
    none = Schedule(steps=0, learning_rate=0.1)
    assert train(line, none, tmp_path / "none") is line.module
    assert not (tmp_path / "none").exists()
    assert all(torch.equal(before[k], v) for k, v in line.module.state_dict().items())
    with pytest.raises(InvalidConfig, match="steps at least 0"):
        Schedule(steps=-1, learning_rate=0.1)


@pytest.mark.parametrize(
    ("rates", "chosen"), [((37.0, 1.3), torch.float32), ((96.0, 187.0), torch.bfloat16)]
)
def test_the_number_format_is_the_faster_one(
    rates: tuple[float, float],
    chosen: torch.dtype,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    full, half = rates
    monkeypatch.setattr(trainer, "_rate", lambda kind: full if kind is torch.float32 else half)
    with caplog.at_level("INFO"):
        assert trainer.number_format.__wrapped__() is chosen
    name = str(chosen).removeprefix("torch.")
    said = f"training in {name}: {full:.0f} GFLOP/s in float32, {half:.0f} in bfloat16"
    assert caplog.messages == [said]
