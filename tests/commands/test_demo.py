import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from chronosim.cli.main import main
from chronosim.episodes import EpisodeReader, list_episodes
from chronosim.frames import read_frame
from chronosim.scenarios.board import pusher_place


@pytest.mark.slow
def test_the_demo_drives_in_nano(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out"
    assert main(["demo", f"output={output}"]) == 0
    episode = max(map(EpisodeReader, list_episodes(output / "episodes")), key=len)
    assert episode.steps >= 20
    assert episode.about["model"]["name"] == "nano"
    assert np.abs(np.diff(episode.frames.astype(np.int16), axis=0)).mean() > 1, "it moves"
    out = capsys.readouterr().out
    for path in (output / "filmstrip.png", output / "episode.mp4", episode.path):
        assert path.exists()
        assert str(path) in out
    with av.open(output / "episode.mp4") as video:
        frames = sum(1 for _ in video.decode(video=0))
    assert frames == 1 + sum(len(episode.trajectory(index)) for index in range(episode.steps))


@pytest.mark.slow
def test_the_demo_pushes_in_nano(tmp_path: Path) -> None:
    output = tmp_path / "out"
    settings = ["scenario=pusht", "horizon=16", "attempts=1", f"output={output}"]  # as make demo
    assert main(["demo", *settings]) == 0
    episode = EpisodeReader(list_episodes(output / "episodes")[0])
    assert episode.about["model"]["name"] == "nano"
    away = []
    for index in range(1, episode.steps + 1):  # the pusher arrives where it is sent
        observation = episode.observation(index)
        seen = pusher_place(observation.frame)
        away.append(np.inf if seen is None else float(np.linalg.norm(seen - observation.state)))
    assert np.median(away) < 20, f"board units of 512: {away}"


def test_an_episode_that_ends_early_is_followed_by_the_next_seed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Full throttle and full lock: echo never moves, so only the horizon ends an episode here, and
    # a scenario of black frames, where no road is near, ends each at its first step.
    black = tmp_path / "black.npz"
    np.savez(black, frames=np.zeros((1, 96, 96, 3), np.uint8), speed=np.zeros(1, np.float32))
    output = tmp_path / "out"
    settings = ["model=echo", f"scenario.starts={black}", "attempts=3", f"output={output}"]
    assert main(["demo", *settings]) == 0
    readers = [EpisodeReader(path) for path in list_episodes(output / "episodes")]
    assert [reader.about["seed"] for reader in readers] == [0, 1, 2]
    out = capsys.readouterr().out
    assert out.count("the episode ended after 1 steps") == 3
    assert "imagined 1 steps (terminated)" in out


@pytest.mark.slow
def test_the_demo_needs_only_the_base_install(tmp_path: Path) -> None:
    """No extra, no simulator, and no OpenCV, whose system libraries a bare machine lacks."""
    code = (
        "import sys\n"
        "for name in ('Box2D', 'pygame', 'matplotlib', 'moviepy', 'peft', 'beartype', 'cv2'):\n"
        "    sys.modules[name] = None\n"
        "from chronosim.cli.main import main\n"
        f"sys.exit(main(['demo', 'model=echo', 'horizon=2', r'output={tmp_path / 'out'}']))"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, capture_output=True)
    assert read_frame(tmp_path / "out" / "filmstrip.png").any()
