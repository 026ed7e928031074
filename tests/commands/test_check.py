import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronosim.cli.main import main
from chronosim.testing import EchoModel
from chronosim.types import Prediction

QUICK = ["model=echo", "steps=0", "prompts=2"]


def test_a_model_that_stands_still_fails_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", *QUICK, f"output={tmp_path / 'out'}"]) == 1
    printed = capsys.readouterr().out
    assert "echo fails: movement, words." in printed
    assert "the picture stands still." in " ".join(printed.split())
    values = json.loads((tmp_path / "out" / "results.json").read_text())
    assert values["passed"] is False
    assert values["checks"]["contract"]["passed"] is True
    assert values["model"]["name"] == "echo"
    assert values["versions"]["chronosim"]


def test_a_model_that_conforms_passes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def brighten(self: EchoModel, prompts: Any) -> list[Prediction]:
        return [
            Prediction(
                (p.frame // 2 + np.uint8(len(p.text.encode()) + sum(p.text.encode()) % 50))[None]
            )
            for p in prompts
        ]

    monkeypatch.setattr(EchoModel, "predict", brighten)
    assert main(["check", *QUICK, "steps=3", f"output={tmp_path / 'out'}"]) == 0
    printed = capsys.readouterr().out
    assert "echo conforms." in printed
    assert "outcome alone, which is legal" in " ".join(printed.split())


def test_two_choices_are_not_asked_for_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: set[str] = set()

    def listen(self: EchoModel, prompts: Any) -> list[Prediction]:
        asked.update(prompt.text for prompt in prompts)
        return [Prediction(prompt.frame[None]) for prompt in prompts]

    monkeypatch.setattr(EchoModel, "predict", listen)
    words = [
        "prompter=values",
        "+prompter.action={way:[left,right]}",
        "prompter.template=Go {way}.",
        "+prompter.state={speed:{low:0,high:40}}",
    ]
    for seed in range(5):
        asked.clear()
        settings = [*words, "prompter.seconds_per_step=1", f"seed={seed}"]
        assert main(["check", *QUICK, *settings, f"output={tmp_path / str(seed)}"]) == 1
        assert asked == {"Go left.", "Go right."}


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("prompts=1", "prompts must be a whole number of at least 2"),
        ("tolerance=some", "tolerance must be a number of at least 0, not 'some'"),
        ("growth=-1", "growth must be a number of at least 0, not -1"),
    ],
)
def test_settings_that_cannot_work_leave_nothing(
    setting: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", *QUICK, setting, f"output={tmp_path / 'out'}"]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
