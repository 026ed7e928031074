"""HDF5 as others write it: robomimic's files and ALOHA's episodes."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from chronosim.errors import EpisodeNotFound, InvalidConfig, InvalidEpisode, InvalidFrame
from chronosim.formats.aloha import AlohaImporter
from chronosim.formats.columns import FrameSource, make_columns
from chronosim.formats.hdf5 import open_guarded
from chronosim.formats.importing import LAST_ROW, ImportReport, import_dataset
from chronosim.formats.robomimic import RobomimicExporter, RobomimicImporter
from tests.formats.conftest import picture, readers

FRAMES = np.stack([picture(at, (12, 16)) for at in range(7)])
NUMBERS = np.arange(14.0).reshape(7, 2)


def demonstrations(path: Path, *, closed: bool = True) -> None:
    """Two demonstrations of six rows, as robosuite's tools leave them."""
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        env = {"env_name": "Lift", "type": 1, "env_kwargs": {"control_freq": 20}}
        data.attrs["env_args"] = json.dumps(env)
        for number in range(2):
            demo = data.create_group(f"demo_{number}")
            demo.attrs["num_samples"] = 6
            demo.attrs["model_file"] = "<mujoco>" * 1000
            demo["actions"] = NUMBERS[:6] + number
            demo["actions_abs"] = NUMBERS[:6] * 2
            demo["states"] = np.zeros((6, 9))
            demo["rewards"] = np.arange(6) == 5
            demo["dones"] = (np.arange(6) == 5).astype(int)
            for group, begin in (("obs", 0), ("next_obs", 1))[: 1 + closed]:
                demo[f"{group}/agentview_image"] = FRAMES[begin : begin + 6]
                demo[f"{group}/robot0_eef_pos"] = NUMBERS[begin : begin + 6] + 0.1
                demo[f"{group}/robot0_gripper"] = NUMBERS[begin : begin + 6, :1]
        file["mask/train"] = np.array([b"demo_0"])
        file["mask/valid"] = np.array([b"demo_1"])


def imported(source: Path, importer: Any) -> ImportReport:
    return import_dataset(source, source.with_name("out"), importer, progress=False)


def refused(source: Path, importer: Any, sentence: str, error: Any = InvalidEpisode) -> None:
    with pytest.raises(error, match=sentence) as caught:
        imported(source, importer)
    assert "\n" not in str(caught.value)
    assert not source.with_name("out").exists()


@pytest.fixture
def demos(tmp_path: Path) -> Path:
    demonstrations(tmp_path / "demos.hdf5")
    return tmp_path / "demos.hdf5"


def test_what_is_said_of_a_demonstration_is_kept(demos: Path) -> None:
    importer = RobomimicImporter(states=["robot0_eef_pos", "robot0_gripper"])
    report = imported(demos, importer)
    assert report.lost == (
        "digits of states: float64 became float32",
        "the array actions_abs",
        "the array states",
        "the attribute model_file",
    )
    for number, reader in enumerate(readers(report.path)):
        assert np.array_equal(reader.frames, FRAMES)
        assert reader.states.shape == (7, 3)
        assert reader.column("terminated").tolist() == [False] * 5 + [True]
        assert reader.about["origin"]["masks"] == [["train"], ["valid"]][number]
        assert reader.about["origin"]["env_args"]["env_name"] == "Lift"
        assert reader.about["seconds_per_step"] == 0.05


def test_without_what_came_after_success_is_kept(tmp_path: Path) -> None:
    demonstrations(tmp_path / "demos.hdf5", closed=False)
    importer = RobomimicImporter(states="robot0_gripper", action=["actions", "actions_abs"])
    report = imported(tmp_path / "demos.hdf5", importer)
    assert LAST_ROW in report.lost
    assert report.converted == ("actions, actions_abs to one vector of actions",)
    for reader in readers(report.path):
        assert reader.column("action").shape == (5, 4)
        assert reader.states.shape == (6, 1)
        assert (reader.column("reward").sum(), reader.column("terminated")[-1]) == (1, True)


def short(file: Any) -> None:
    values = file["data/demo_0/next_obs/agentview_image"][:5]
    del file["data/demo_0/next_obs/agentview_image"]
    file["data/demo_0/next_obs/agentview_image"] = values


def replaced(path: str, values: Any) -> Callable[[Any], None]:
    def replace(file: Any) -> None:
        del file[path]
        if values is not None:
            file[path] = values

    return replace


def itself(file: Any) -> None:
    file["data/demo_0/obs/loop"] = file["data"]


def cut_chunk(file: Any) -> None:
    frames = file["data/demo_1/obs/agentview_image"][:]
    del file["data/demo_1/obs/agentview_image"]
    array = file.create_dataset(
        "data/demo_1/obs/agentview_image", data=frames, chunks=(1, 12, 16, 3), compression="gzip"
    )
    array.id.write_direct_chunk((3, 0, 0, 0), b"\x78\x9c short")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (short, "demo_0 has 6 actions, but next_obs/agentview_image has 5 rows"),
        (replaced("data/demo_1/obs", None), "/data/demo_1 in .*demos.hdf5 has no obs"),
        (replaced("data/demo_1/actions", None), "demo_1 has no actions"),
        (replaced("data/demo_1/obs/agentview_image", None), "has no obs/agentview_image"),
        (replaced("data/demo_1/obs/robot0_eef_pos", None), "has no obs/robot0_eef_pos"),
        (replaced("data/demo_1/next_obs/robot0_eef_pos", None), "has no robot0_eef_pos, which"),
        (replaced("data/demo_0/obs/robot0_eef_pos", [b"a"] * 6), "must hold numbers"),
        (replaced("data/demo_0/actions", 7), "is no array of rows"),
        (replaced("data/demo_0/rewards", [b"much"] * 6), "the rewards of demo_0 must be numbers"),
        (replaced("data/demo_0", 7), "demo_0 in .* has no obs"),
        (replaced("data", 7), "has no demonstrations in data/"),
        (itself, "is linked to twice: refused"),
        (cut_chunk, "agentview_image in demos.hdf5 cannot be read"),
    ],
)
def test_damage_gets_a_sentence(demos: Path, damage: Callable[[Any], None], sentence: str) -> None:
    with h5py.File(demos, "r+") as file:
        damage(file)
    refused(demos, RobomimicImporter(states=["robot0_eef_pos"]), sentence)


def test_memory_is_not_asked_for_without_bound(demos: Path) -> None:
    with h5py.File(demos, "r+") as file:
        del file["data/demo_0/actions"]
        file["data/demo_0"].create_dataset("actions", (10**11, 7), "f4", chunks=(1000, 7))
    refused(demos, RobomimicImporter(), "actions in demos.hdf5 asks for 2800 GB at once")


def test_what_hdf5_says_of_damage_is_a_sentence(demos: Path) -> None:
    """Bytes that are damaged may fail anywhere in HDF5, here where attributes are gone through."""
    sentence = r"demos.hdf5 is damaged: Error iterating over attributes$"
    with pytest.raises(InvalidEpisode, match=sentence), open_guarded(demos):
        raise RuntimeError("Error iterating over attributes\n(integer offset out of bounds)")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"states": ["robot0_eef_pos", "robot0_quat"]}, "no 'robot0_quat' for format.states="),
        ({"states": "state"}, "no 'state' for format.states=; it has: agentview_image, robot0"),
        ({"action": "acts"}, "no 'acts' for format.action=; it has: actions, actions_abs"),
        ({"camera": "wrist"}, "no camera 'wrist' for format.camera=; it has: agentview_image"),
    ],
)
def test_what_is_asked_for_must_be_there(
    demos: Path, settings: dict[str, Any], sentence: str
) -> None:
    refused(demos, RobomimicImporter(**settings), sentence)


def test_a_folder_names_the_file_in_it(demos: Path) -> None:
    moved = demos.rename(demos.with_name("image_v15.hdf5"))
    refused(moved.parent, RobomimicImporter(), "name the file itself, .*image_v15", EpisodeNotFound)


def test_parts_that_were_never_written_are_said(demos: Path) -> None:
    with h5py.File(demos, "r+") as file:
        del file["data/demo_0/obs/agentview_image"]
        array = file["data/demo_0/obs"].create_dataset(
            "agentview_image", FRAMES[:6].shape, "u1", chunks=(1, 12, 16, 3)
        )
        array[:4] = FRAMES[:4]
    report = imported(demos, RobomimicImporter())
    assert "parts of obs/agentview_image, which were never written" in report.lost


def test_camera_and_state_have_two_names() -> None:
    with pytest.raises(InvalidConfig, match="two names, not both 'a_image'"):
        RobomimicExporter(camera="a", state="a_image")


def test_hdf5_holds_no_nul(tmp_path: Path) -> None:
    frames = FrameSource(lambda: iter(FRAMES[:2]))
    given = make_columns("one", frames, np.zeros((1, 2)), closed=True, texts=["left\0right"])
    with pytest.raises(InvalidEpisode, match=r"no text with a NUL in it, such as 'left\\x00"):
        RobomimicExporter().write([given], tmp_path)


def aloha(folder: Path, *, jpeg: bool = False, rows: int = 7) -> None:
    """Three episodes as ACT's recorder leaves them; JPEG rows end in zeros."""
    folder.mkdir()
    for number in (0, 2, 10):
        with h5py.File(folder / f"episode_{number}.hdf5", "w") as file:
            file.attrs["sim"], file.attrs["compress"] = False, jpeg
            file["action"] = NUMBERS[:rows] + number
            file["base_action"] = NUMBERS[:rows, :1]
            file["observations/qpos"] = NUMBERS[:rows] * 2
            file["observations/qvel"] = NUMBERS[:rows]
            for camera in ("cam_high", "cam_low"):
                frames = FRAMES[:rows] if camera == "cam_high" else FRAMES[::-1][:rows]
                held = padded(frames) if jpeg else frames
                file[f"observations/images/{camera}"] = held
            file["language_raw"] = [b"fold the shirt"]
            if jpeg:
                file["compress_len"] = np.zeros((2, rows))


def jpeg_of(frame: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()


def padded(frames: np.ndarray) -> np.ndarray:
    coded = [jpeg_of(frame) for frame in frames]
    longest = max(map(len, coded)) + 5
    return np.array([list(each.ljust(longest, b"\0")) for each in coded], np.uint8)


@pytest.mark.parametrize("jpeg", [False, True])
def test_aloha(tmp_path: Path, jpeg: bool) -> None:
    aloha(tmp_path / "aloha", jpeg=jpeg)
    importer = AlohaImporter(camera="cam_high", action=["action", "base_action"])
    report = imported(tmp_path / "aloha", importer)
    assert report.lost == (LAST_ROW, "the array qvel", "the camera cam_low")
    assert report.converted == ("action, base_action to one vector of actions",)
    for number, reader in zip((0, 2, 10), readers(report.path), strict=True):
        assert reader.column("action").shape == (6, 3)
        assert reader.column("action")[:, 0].tolist() == (NUMBERS[:6, 0] + number).tolist()
        assert np.array_equal(reader.states, NUMBERS * 2)
        assert reader.column("text").tolist() == ["fold the shirt"] * 6
        assert reader.about["origin"] == {"attributes": {"sim": False, "compress": jpeg}}
        apart = np.abs(reader.frames.astype(int) - FRAMES)
        assert apart.mean() < (4 if jpeg else 1e-9)


def test_aloha_stored_blue_first(tmp_path: Path) -> None:
    aloha(tmp_path / "aloha", jpeg=False)
    one = tmp_path / "aloha" / "episode_2.hdf5"
    [read] = AlohaImporter(camera="cam_high", bgr=True).read(one).recordings
    assert np.array_equal(list(read().frames), FRAMES[..., ::-1])


def no_image(file: Any) -> None:
    file["observations/images/cam_high"][3] = 0


def no_jpeg(file: Any) -> None:
    file["observations/images/cam_high"][3, :20] = 7


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (no_image, "cam_high of .*episode_2.hdf5 has no image at row 3"),
        (no_jpeg, "cam_high of .*episode_2.hdf5 at row 3 is not an image"),
        (replaced("observations/images/cam_high", None), "has no cam_high, which the first file"),
        (replaced("observations/images/cam_high", NUMBERS), "7 actions, but cam_high is float64"),
        (replaced("observations", 7), "has no observations/images, as ALOHA's have; it has: act"),
        (replaced("action", NUMBERS[:5]), "has 5 actions, but cam_high is uint8"),
        (replaced("observations/qpos", NUMBERS[:5]), "has 5 states, but its actions ask for 7"),
    ],
)
def test_a_damaged_aloha(tmp_path: Path, damage: Callable[[Any], None], sentence: str) -> None:
    aloha(tmp_path / "aloha", jpeg=True)
    with h5py.File(tmp_path / "aloha" / "episode_2.hdf5", "r+") as file:
        damage(file)
    refused(tmp_path / "aloha", AlohaImporter("cam_high"), sentence, (InvalidEpisode, InvalidFrame))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({}, "several cameras: choose one with format.camera=, of cam_high, cam_low"),
        ({"camera": "cam_high", "state": "qpso"}, "no 'qpso' for format.state=; it has: qpos"),
        ({"camera": "cam_high", "action": "acts"}, "no 'acts' for format.action=; it has: act"),
    ],
)
def test_aloha_lacks_what_is_asked_for(
    tmp_path: Path, settings: dict[str, Any], sentence: str
) -> None:
    aloha(tmp_path / "aloha")
    refused(tmp_path / "aloha", AlohaImporter(**settings), sentence)
    refused(
        tmp_path, AlohaImporter(), "name .*aloha, which looks like format=aloha", EpisodeNotFound
    )
