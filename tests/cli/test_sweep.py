"""Several runs by one command: chronosim rollout -m ..."""

from __future__ import annotations

from pathlib import Path

import pytest

from chronosim.cli.main import main
from chronosim.cli.sweep import jobs
from chronosim.episodes import EpisodeReader, list_episodes
from chronosim.errors import InvalidConfig

QUICK = ["model=echo", "episodes=1", "horizon=2", "pictures=0"]


def test_combinations_are_multiplied_out() -> None:
    made = jobs("rollout", ["policy=straight,random", "episodes=1", "seed=range(0,2)", "output=x"])
    assert [job.name for job in made] == [
        "policy=straight,seed=0",
        "policy=straight,seed=1",
        "policy=random,seed=0",
        "policy=random,seed=1",
    ]
    assert made[1].given == (
        "episodes=1", "policy=straight", "seed=1", f"output={Path('x/policy=straight,seed=1')}"
    )  # fmt: skip


def test_long_or_strange_names_stay_apart() -> None:
    made = jobs("rollout", ["scenario.plan=[['a/b']],[['a:b']]", "output=x"])
    assert len({job.given[-1] for job in made}) == 2
    assert all(":" not in job.name and "/" not in job.name for job in made)


@pytest.mark.parametrize(
    ("command", "given", "said"),
    [
        ("rollout", ["policy=straight"], "nothing is swept over"),
        ("episodes ls", ["sort=name,size"], "leaves no results"),
    ],
)
def test_what_cannot_be_swept(command: str, given: list[str], said: str) -> None:
    with pytest.raises(InvalidConfig, match=said):
        jobs(command, given)


def test_a_sweep_over_scenarios_and_policies_is_compared_and_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    sweep = ["rollout", "-m", "scenario=carracing-slippery,street-sedan", "policy=straight,random"]
    assert main([*sweep, *QUICK, "output=all"]) == 2
    out = capsys.readouterr().out
    assert "failed: scenario=street-sedan,policy=straight: this scenario begins with a frame" in out
    found = sorted(path.name for path in Path("all").iterdir())
    assert found == [
        f"scenario=carracing-slippery,policy={name}" for name in ("random", "straight")
    ]
    rows = [line for line in out.splitlines() if line.startswith("scenario=carracing")]
    assert len(rows) == 2
    assert len(list_episodes(Path("all") / found[0] / "episodes")) == 1
    assert main([*sweep, *QUICK, "output=all"]) == 2
    assert "1 of the 1 episodes are there already" in capsys.readouterr().out


def test_events_can_be_swept_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    where = "prompter.events.left.step=0,9"
    assert main(["rollout", "-m", "scenario=carracing-slippery", where, *QUICK, "output=all"]) == 0
    first, second = (
        EpisodeReader(path / "episodes" / "0000000") for path in sorted(Path("all").iterdir())
    )
    texts = [[str(text) for text in reader.column("text")] for reader in (first, second)]
    assert texts[0] != texts[1]
    assert first.about["config"]["prompter"]["events"]["left"]["step"] == 0
    assert first.about["config"]["horizon"] == 2
