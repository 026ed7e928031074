import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronosim.cli.main import main
from chronosim.envs.guard import load_guard
from chronosim.episodes import EpisodeReader, EpisodeWriter, Step
from chronosim.evaluation import guards
from chronosim.types import Observation, Prediction


def write_world(folder: Path, episodes: int, tint: Any) -> None:
    """Episodes of the same coloured blocks, each time elsewhere, that move."""
    for number in range(episodes):
        rng = np.random.default_rng(number)
        blocks = rng.permutation(np.arange(40, 200, 10)).reshape(4, 4, 1) * np.array(tint)
        film = [np.roll(blocks.repeat(6, 0).repeat(6, 1), t, axis=1) for t in range(21)]
        frames = [(each + rng.normal(0, 2, each.shape)).astype(np.uint8) for each in film]
        first = Observation(frames[0])
        with EpisodeWriter(folder / f"{number:07d}", first, {"seed": number}) as writer:
            for step, frame in enumerate(frames[1:]):
                after = Observation(frame, step=step + 1)
                prediction = Prediction(frame[None])
                writer.append(Step(first, 0, "go", 0, prediction, after, 0.0, False, step == 19))


def test_a_guard_is_made_and_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_world(tmp_path / "world", 20, [1, 0.6, 0.3])
    write_world(tmp_path / "other", 4, [0.3, 0.6, 1])
    out = tmp_path / "mine.npz"
    command = ["guard", str(tmp_path / "world"), f"output={out}", "false_alarms=0.2"]
    assert main([*command, f"strangers={tmp_path / 'other'}"]) == 0
    guard = load_guard(out)
    assert guard.size == (24, 24)
    assert "10 episodes to learn from, 5 for the limit" in guard.about
    found = {
        each["kind"]: each for each in json.loads((tmp_path / "mine.json").read_text())["alarms"]
    }
    assert found["true frames"]["of"] == 105
    assert found["true frames"]["share"] < 0.1
    assert found["another world"] == found["another world"] | {"share": 1.0, "of": 84}
    cut = found["true episodes, cut somewhere"]
    assert (cut["of"], cut["alarms"] <= found["true frames"]["alarms"]) == (5, True)
    assert found["blank"]["share"] == 1.0
    assert "noise of 20 grey levels" in capsys.readouterr().out
    assert main(command) == 2
    assert "mine.npz exists already" in capsys.readouterr().err


def test_too_little_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_world(tmp_path / "world", 3, [1, 1, 1])
    assert main(["guard", str(tmp_path / "world"), f"output={tmp_path / 'mine.npz'}"]) == 2
    assert "a guard needs at least 4 episodes" in capsys.readouterr().err
    assert not (tmp_path / "mine.npz").exists()


def test_what_lies_beside_a_guard_is_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_world(tmp_path / "world", 20, [1, 0.6, 0.3])
    command = ["guard", str(tmp_path / "world"), "false_alarms=0.2"]
    (tmp_path / "mine.json").write_text("of somebody else")
    assert main([*command, f"output={tmp_path / 'mine.npz'}"]) == 2
    assert "mine.json exists already" in capsys.readouterr().err
    assert (tmp_path / "mine.json").read_text() == "of somebody else"
    assert main([*command, f"output={tmp_path / 'other.json'}"]) == 2
    assert "a guard is an .npz with a .json beside it" in capsys.readouterr().err
    assert main([*command[:2], f"output={tmp_path / 'few.npz'}"]) == 2
    assert "20 episodes are too few" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.json", "world"]


def test_an_episode_that_never_began_counts_for_nothing(tmp_path: Path) -> None:
    write_world(tmp_path / "world", 20, [1, 0.6, 0.3])
    first = EpisodeReader(tmp_path / "world" / "0000000").observation(0)
    with EpisodeWriter(tmp_path / "world" / "0000020", first, {"seed": 20}):
        pass
    out = tmp_path / "mine.npz"
    assert main(["guard", str(tmp_path / "world"), "false_alarms=0.2", f"output={out}"]) == 0
    assert "10 episodes to learn from, 5 for the limit" in load_guard(out).about


@pytest.mark.slow
def test_what_a_model_makes_of_true_frames_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Soft:
        def reconstruct(self, frame: Any, trajectory: Any) -> Any:
            near = [np.roll(trajectory, way, axis) for way in (-1, 1) for axis in (1, 2)]
            return np.mean([trajectory, *near], axis=0).astype(np.uint8)

    write_world(tmp_path / "world", 80, [1, 0.6, 0.3])
    monkeypatch.setattr(guards, "load", lambda name: Soft() if name == "soft" else object())
    command = ["guard", str(tmp_path / "world"), "false_alarms=0.2"]
    assert main([*command, f"output={tmp_path / 'plain.npz'}"]) == 0
    assert main([*command, "through=soft", f"output={tmp_path / 'soft.npz'}"]) == 0
    plain, soft = (load_guard(tmp_path / f"{name}.npz") for name in ("plain", "soft"))
    frame = EpisodeReader(tmp_path / "world" / "0000003").observation(5).frame
    shown = Soft().reconstruct(frame, frame[None])[-1]
    assert (plain(frame), soft(frame)) == (None, None)
    assert (plain(shown), soft(shown)) == ("drift", None)
    assert "through soft's autoencoder" in soft.about
    assert main([*command, "through=none", f"output={tmp_path / 'none.npz'}"]) == 2
    assert "none has no autoencoder" in capsys.readouterr().err
