from pathlib import Path

import av
import numpy as np
import pytest
from omegaconf import OmegaConf

from chronosim.cli import main
from chronosim.episodes import EpisodeReader, list_episodes
from chronosim.frames import read_frame


def rollout(output: Path, *settings: str) -> list[EpisodeReader]:
    assert main(["rollout", "model=echo", f"output={output}", "horizon=3", *settings]) == 0
    return [EpisodeReader(path) for path in list_episodes(output / "episodes")]


def test_every_episode_is_logged_drawn_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    readers = rollout(tmp_path / "out", "episodes=2", "policy=straight", "model.time=2")
    assert [reader.steps for reader in readers] == [3, 3]
    assert all(reader.finished for reader in readers)
    for name in ("0000000", "0000001"):
        assert read_frame(tmp_path / "out" / f"{name}.png").shape[1] > 3 * 216
        with av.open(tmp_path / "out" / f"{name}.mp4") as video:
            assert sum(1 for _ in video.decode(video=0)) == 1 + 3 * 2
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines()[1:3]]
    assert [(row[0], row[1], row[2], row[-1]) for row in rows] == [
        ("0000000", "0", "3", "truncated"),
        ("0000001", "1", "3", "truncated"),
    ]
    assert str(tmp_path / "out") in out


def test_the_settings_are_beside_the_results_and_resolved(tmp_path: Path) -> None:
    rollout(
        tmp_path / "out", "episodes=1", "seed=7", "policy.target_speed=3", "policy=lane-follower"
    )
    config = OmegaConf.load(tmp_path / "out" / "config.yaml")
    assert (config.seed, config.policy.target_speed, config.model.time) == (7, 3, 1)
    assert "${" not in (tmp_path / "out" / "config.yaml").read_text()


def test_the_same_seed_gives_the_same_episodes_and_each_its_own(tmp_path: Path) -> None:
    first = rollout(tmp_path / "a", "episodes=2")
    again = rollout(tmp_path / "b", "episodes=1", "seed=1")
    actions = [reader.column("action") for reader in (*first, *again)]
    assert not np.array_equal(actions[0], actions[1])
    assert np.array_equal(actions[1], actions[2])
    assert np.array_equal(first[1].frames, again[0].frames)


def test_the_words_are_in_the_video_when_asked_for(tmp_path: Path) -> None:
    rollout(tmp_path / "out", "episodes=1", "words=true")
    with av.open(tmp_path / "out" / "0000000.mp4") as video:
        assert video.streams.video[0].height > video.streams.video[0].width


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rollout(tmp_path / "out", "episodes=1")
    before = sorted(tmp_path.rglob("*"))
    assert main(["rollout", "model=echo", f"output={tmp_path / 'out'}"]) == 2
    assert "nothing is overwritten" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_an_output_that_cannot_be_made_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["rollout", "model=echo", f"output={tmp_path / 'file' / 'out'}"]) == 2
    assert "results cannot be written to" in capsys.readouterr().err


def test_the_usual_output_is_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["rollout", "model=echo", "episodes=1", "horizon=1"]) == 0
    [folder] = (tmp_path / "runs" / "rollout").iterdir()
    assert (folder / "config.yaml").is_file()
