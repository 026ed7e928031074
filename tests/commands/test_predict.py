import warnings
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from chronosim.cli.main import main
from chronosim.formats.clips import inspect_clip, read_clip
from chronosim.frames import read_frame, write_frame
from chronosim.pictures.video import write_video


def predict(output: Path, *settings: str) -> int:
    return main(["predict", "model=echo", "model.time=3", f"output={output}", *settings])


def test_it_leaves_outcome_trajectory_filmstrip_and_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(tmp_path / "out", "action=[-0.25, 0.1, 0]", "start={speed: 12}") == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"outcome.png", "trajectory.mp4", "filmstrip.png", "config.yaml"}
    assert read_frame(tmp_path / "out" / "outcome.png").shape == (96, 96, 3)
    with av.open(tmp_path / "out" / "trajectory.mp4") as video:
        assert sum(1 for _ in video.decode(video=0)) == 1 + 3
    out = capsys.readouterr().out
    assert "The car goes from 12 to 16 m/s, 5 m ahead. Steer 25% left with 10% throttle" in out
    assert all(str(tmp_path / "out" / name) in out for name in names - {"config.yaml"})


def test_a_frame_of_ones_own_is_fitted_when_asked(tmp_path: Path) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    write_frame(tmp_path / "mine.png", frame)
    assert predict(tmp_path / "as-it-is", f"frame={tmp_path / 'mine.png'}") == 0
    assert np.array_equal(read_frame(tmp_path / "as-it-is" / "outcome.png"), frame)
    assert predict(tmp_path / "fitted", f"frame={tmp_path / 'mine.png'}", "size=[32, 32]") == 0
    assert read_frame(tmp_path / "fitted" / "outcome.png").shape == (32, 32, 3)


def test_what_a_picture_loses_is_said_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGBA", (60, 40), (9, 9, 9, 0)).save(tmp_path / "mine.png")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert predict(tmp_path / "out", f"frame={tmp_path / 'mine.png'}") == 0
    said = f"chronosim: {tmp_path / 'mine.png'} became an RGB frame: its transparency over white\n"
    assert said in capsys.readouterr().err
    assert (read_frame(tmp_path / "out" / "outcome.png") == 255).all()


def test_a_scenario_that_waits_for_a_frame_keeps_its_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_frame(tmp_path / "street.png", np.zeros((40, 60, 3), np.uint8))
    given = ["scenario=street-pedestrian", f"frame={tmp_path / 'street.png'}", "action=[8, 0]"]
    assert predict(tmp_path / "out", *given) == 0
    assert "The car drives at 29 km/h. It keeps its speed" in capsys.readouterr().out
    assert read_frame(tmp_path / "out" / "outcome.png").shape == (40, 60, 3)
    assert predict(tmp_path / "other", *given, "start={speed: 0}") == 0
    assert "The car drives at 0 km/h" in capsys.readouterr().out


def test_ones_own_words_reach_the_model_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "It's night, and a deer (brown) stands there: stop."
    assert predict(tmp_path / "out", f"text={words}") == 0
    assert words in capsys.readouterr().out


def test_the_seed_draws_the_first_frame(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert predict(tmp_path / name, f"seed={seed}") == 0
    a, b, c = (read_frame(tmp_path / name / "outcome.png") for name in "abc")
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["frame=nowhere.png"], "there is no image at nowhere.png"),
        (["action=[9, 0, 0]"], "an action must lie between"),
        (["action=[0, 0]"], "an action must have shape (3,), not (2,)"),
        (["action=[.nan, 0, 0]"], "action"),
        (["action=null"], "action"),
        (["action=left"], "an action must be 3 numbers, not 'left'"),
        (["start={sped: 3}"], "'sped'"),
        (["start=fast"], "start must be named numbers"),
        (["size=96"], "size must be fit, or [height, width] in pixels, not 96"),
        (["size=[0, 96]"], "size must be fit, or [height, width] in pixels, not [0, 96]"),
        (["size=[50, 70]"], "not 50 x 70; the nearest is 48 x 64"),
        (["size=fit", "area=9"], "an area must be 256 pixels or more, not 9"),
        (["explain=true"], "explain is for a ChronoEdit, by a preset"),
        (["gpu=h100"], "gpu=h100 is for explain=true"),
        (["explain=true", "gpu=h1000"], "gpu must be rtx4090, l40s, a100, h100, h200 or b200"),
        (["seed=-1"], "seed must be a whole number from 0 to 2**63 - 1, not -1"),
    ],
)
def test_what_cannot_work_is_one_sentence_and_leaves_nothing(
    settings: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(tmp_path / "out", *settings) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert said in line
    assert not (tmp_path / "out").exists()


def test_a_whole_frame_is_fitted_to_an_area_and_comes_back(tmp_path: Path) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    write_frame(tmp_path / "mine.png", frame)
    given = [f"frame={tmp_path / 'mine.png'}", "size=fit", "area=6144"]
    assert predict(tmp_path / "fitted", *given) == 0
    assert read_frame(tmp_path / "fitted" / "outcome.png").shape == (64, 96, 3)
    assert predict(tmp_path / "back", *given, "back=true") == 0
    assert read_frame(tmp_path / "back" / "outcome.png").shape == (40, 60, 3)


def test_a_sketch_is_named_by_a_trigger_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_frame(tmp_path / "sketch.png", np.full((32, 32, 3), 255, np.uint8))
    given = [f"frame={tmp_path / 'sketch.png'}", "prompter=paint-brush", "action=red kite"]
    assert predict(tmp_path / "out", *given) == 0
    assert "The user wants to change the sketch to a red kite." in capsys.readouterr().out


def test_it_explains_without_loading(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "chronosim.models.loading.load.load_components", lambda *_: pytest.fail("loaded")
    )
    settings = [f"model.cache={tmp_path}", "model.device=cpu", "model.reasoning_steps=1"]
    assert main(["predict", "model=chronoedit-14b-turbo", "explain=true", *settings]) == 0
    out = capsys.readouterr().out
    assert "8 denoising steps, 1 of them with reasoning" in out
    assert "on cpu at 720 x 1280" in out
    turbo = ["predict", "model=chronoedit-14b-turbo", "explain=true", "size=fit", "area=1672704"]
    assert main([*turbo, *settings]) == 0
    assert "on cpu at 960 x 1712" in capsys.readouterr().out
    assert main(["predict", "explain=true", "size=[48, 64]"]) == 0
    assert "on cpu at 48 x 64" in capsys.readouterr().out
    assert main(["predict", "model=chronoedit-2b", "explain=true"]) == 2
    assert "neither its weights nor its config were published" in capsys.readouterr().err


def test_a_frame_off_the_grid_is_refused_before_anything_is_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_frame(tmp_path / "mine.png", np.zeros((50, 64, 3), np.uint8))
    given = ["model=chronoedit-14b", f"model.cache={tmp_path}", f"frame={tmp_path / 'mine.png'}"]
    assert main(["predict", *given, "text='It rains.'", "start={speed: 3}"]) == 2
    assert "multiples of 16, not 50 x 64: give size=fit" in capsys.readouterr().err


def test_a_video_goes_on_from_its_last_frame(tmp_path: Path) -> None:
    greys = [np.full((48, 64, 3), 20 * n, np.uint8) for n in range(1, 6)]
    write_video(greys, tmp_path / "film.mp4", 10)
    given = [f"frame={tmp_path / 'film.mp4'}", "size=[32, 48]"]
    assert predict(tmp_path / "out", *given, "text=It goes on.") == 0
    shown = list(read_clip(tmp_path / "out" / "trajectory.mp4"))
    assert len(shown) == 5 + 3
    levels = [frame.mean() for frame in shown]
    assert np.allclose(levels, [20, 40, 60, 80, 100, 100, 100, 100], atol=4)
    assert inspect_clip(tmp_path / "out" / "trajectory.mp4").fps == pytest.approx(10)
    photo = ["scenario=table-reach", f"action={[0, 0, 0, 0, 0, 0, 1]}"]
    assert predict(tmp_path / "arm", *given, *photo) == 0
