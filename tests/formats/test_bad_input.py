"""Foreign data sets that are broken or hostile: one sentence, nothing run, nothing written."""

from __future__ import annotations

import io
import json
import pickle
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr

from chronosim.errors import (
    ChronosimError,
    EpisodeNotFound,
    InvalidAction,
    InvalidEpisode,
    InvalidFrame,
)
from chronosim.formats.exporting import export_dataset
from chronosim.formats.importing import import_dataset
from chronosim.settings import parts as config
from tests.formats.conftest import Made, Maker, picture

Break = Callable[[Path], None]


class Bomb:
    """Whoever unpickles it leaves a mark."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path("exploded").touch, ())


@pytest.fixture(autouse=True)
def nothing_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    yield
    assert not Path("exploded").exists()


def refused(
    source: Path, name: str, error: type[ChronosimError], sentence: str, **settings: Any
) -> None:
    out = source.with_name("out")
    with pytest.raises(error, match=sentence) as caught:
        import_dataset(source, out, config.load("import", name, **settings), progress=False)
    assert "\n" not in str(caught.value)
    assert not out.exists()
    assert not list(out.parent.glob(".out*"))


@pytest.fixture
def exported(dataset: Maker, tmp_path: Path, made: Made) -> Callable[..., Path]:
    """Makes a data set of two episodes of two steps in a format."""

    def export(name: str, **settings: Any) -> Path:
        exporter = config.load("export", name, **settings)
        kept = made(
            repr(exporter),
            lambda out: export_dataset(dataset(steps=2), out, exporter, progress=False),
        )
        shutil.copytree(kept, tmp_path / "foreign")
        return tmp_path / "foreign"

    return export


def void(_: object) -> None:
    """Gives nothing, whatever it gets."""


def edit_json(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def edit_table(path: Path, **columns: list[Any]) -> None:
    table = pq.read_table(path)
    for name, values in columns.items():
        at = table.schema.get_field_index(name.replace("__", "/"))
        table = table.set_column(at, name.replace("__", "/"), pa.array(values))
    pq.write_table(table, path)


INFO, DATA = Path("meta/info.json"), Path("data/chunk-000/file-000.parquet")
EPISODES = Path("meta/episodes/chunk-000/file-000.parquet")


def unfinished(root: Path) -> None:
    """As a recorder that was killed: rows without a footer."""
    (root / DATA).write_bytes((root / DATA).read_bytes()[:-100])


def no_episodes(root: Path) -> None:
    (root / EPISODES).unlink()


def outside(root: Path) -> None:
    edit_json(root / INFO, data_path="../source/{chunk_index}")


def absolute(root: Path) -> None:
    edit_json(root / INFO, data_path="/etc/passwd")


def linked(root: Path) -> None:
    (root / DATA).rename(root.parent / "moved")
    (root / DATA).symlink_to(root.parent / "moved")


def attribute(root: Path) -> None:
    edit_json(root / INFO, data_path="data/{chunk_index.__class__}")


def endless(root: Path) -> None:
    edit_json(root / INFO, data_path="data/{chunk_index:0999999999d}")


def other_version(root: Path) -> None:
    edit_json(root / INFO, codebase_version="v9.0")


def no_clock(root: Path) -> None:
    edit_json(root / INFO, fps=0)


def no_info(root: Path) -> None:
    (root / INFO).write_text("not { json")


def pickled(root: Path) -> None:
    """Arrow's old extension types: a pickle in the schema that was run on reading."""
    table = pq.read_table(root / DATA)
    bomb = {
        "ARROW:extension:name": "arrow.py_extension_type",
        "ARROW:extension:metadata": pickle.dumps(Bomb()),
    }
    schema = pa.schema([field.with_metadata(bomb) for field in table.schema])
    pq.write_table(pa.table(table.columns, schema=schema), root / DATA)


def fewer_rows(root: Path) -> None:
    edit_table(root / EPISODES, length=[2, 7])


def other_width(root: Path) -> None:
    features = json.loads((root / INFO).read_text())["features"]
    features["action"]["shape"] = [2]
    chronosim = json.loads((root / INFO).read_text())["chronosim"] | {"action_shape": None}
    edit_json(root / INFO, features=features, chronosim=chronosim)


def half_a_character(root: Path) -> None:
    edit_json(root / INFO, robot_type="\ud800")


def deep(root: Path) -> None:
    (root / INFO).write_text("[" * 100_000)


def no_path(root: Path) -> None:
    edit_json(root / INFO, data_path="")


def odd_place(root: Path) -> None:
    edit_table(root / EPISODES, data__file_index=[None, "x"])


def odd_task(root: Path) -> None:
    edit_table(root / "meta" / "tasks.parquet", task_index=[[1]] * 2)


def unknown_task(root: Path) -> None:
    edit_table(root / DATA, task_index=[0, 7, 0, 0])


def listed_numbers(root: Path) -> None:
    edit_table(root / DATA, episode_index=[[0, 0]] * 4)


def fractions(root: Path) -> None:
    edit_table(root / DATA, episode_index=[0.5] * 4)


def mixed_sizes(root: Path) -> None:
    buffer = io.BytesIO()
    from PIL import Image

    Image.fromarray(picture(1, (8, 8))).save(buffer, "PNG")
    name = "observation.images.front"
    cells = pq.read_table(root / DATA).column(name).to_pylist()
    cells[1] = {"bytes": buffer.getvalue(), "path": None}
    edit_table(root / DATA, **{name: cells})


def not_a_picture(root: Path) -> None:
    name = "observation.images.front"
    cells = pq.read_table(root / DATA).column(name).to_pylist()
    cells[0] = {"bytes": pickle.dumps(Bomb()), "path": None}
    edit_table(root / DATA, **{name: cells})


@pytest.mark.parametrize(
    ("broken", "error", "sentence"),
    [
        (unfinished, InvalidEpisode, "no footer: its recording was never finished"),
        (no_episodes, EpisodeNotFound, "its recording was never finished"),
        (outside, InvalidEpisode, "'../source/0', which lies outside"),
        (absolute, InvalidEpisode, "'/etc/passwd', which lies outside"),
        (linked, InvalidEpisode, "lies outside"),
        (attribute, InvalidEpisode, "no plain template"),
        (endless, InvalidEpisode, "no plain template"),
        (other_version, InvalidEpisode, "LeRobot v9.0, but v2 and v3.0"),
        (no_clock, InvalidEpisode, "fps .* above 0, not 0"),
        (no_info, InvalidEpisode, "is no JSON"),
        (pickled, InvalidEpisode, "Python pickle"),
        (fewer_rows, InvalidEpisode, "has 2 rows, but should have 7"),
        (other_width, InvalidAction, r"\(3,\), but its info says float32 of shape \[2\]"),
        (half_a_character, InvalidEpisode, "holds half a character"),
        (deep, InvalidEpisode, "is no JSON: maximum recursion"),
        (no_path, InvalidEpisode, "'', which is no name"),
        (odd_place, InvalidEpisode, "data/file_index of .* must be a whole number, not 'x'"),
        (odd_task, InvalidEpisode, r"words with a number, not '.*' with \[1\]"),
        (unknown_task, InvalidEpisode, "row 1 of episode 0 .* has the task 7, which is not among"),
        (listed_numbers, InvalidEpisode, "a number in each row, not .2,."),
        (fractions, InvalidEpisode, "'episode_index' of .* must be whole numbers"),
        (mixed_sizes, InvalidFrame, r"\(32, 36, 3\), but at row 1 one is \(8, 8, 3\)"),
        (not_a_picture, InvalidFrame, "at row 0 is not an image that can be read"),
    ],
)
def test_lerobot(
    exported: Callable[..., Path], broken: Break, error: type[ChronosimError], sentence: str
) -> None:
    source = exported("lerobot")
    broken(source)
    refused(source, "lerobot", error, sentence)


def test_a_video_that_is_a_playlist(exported: Callable[..., Path]) -> None:
    """FFmpeg would open what it names, were it not told what kind of file to expect."""
    source = exported("lerobot", video=True)
    [video, _] = sorted(source.glob("videos/*/*/*.mp4"))
    video.write_text(f"#EXTM3U\n#EXTINF:1,\n{source / INFO}\n#EXT-X-ENDLIST\n")
    refused(source, "lerobot", InvalidEpisode, "cannot be decoded")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"state": "observation.sate"},
            "no 'observation.sate' for format.state=; it has: action",
        ),
        (
            {"action": ["action", "acton"]},
            "no 'acton' for format.action=; it has: action",
        ),
        ({"state": "observation.images.front"}, "no 'observation.images.front' for format.state"),
    ],
)
def test_a_feature_that_is_not_there(
    exported: Callable[..., Path], settings: dict[str, Any], sentence: str
) -> None:
    refused(exported("lerobot"), "lerobot", InvalidEpisode, sentence, **settings)


STATE, ACTION, CAMERA = "observation.state", "action", "observation.images.front"


@pytest.mark.parametrize(
    ("column", "cells", "sentence"),
    [
        (STATE, [[1.0, 2.0], None, [1.0, 2.0], [1.0, 2.0]], "'observation.state' .* at row 1"),
        (STATE, [[1.0, 2.0], [1.0], [1.0, 2.0], [1.0, 2.0]], "has 1 numbers at row 1, but 2 at"),
        (STATE, [[1.0, 2.0], [1.0, None], [1.0, 2.0], [1.0, 2.0]], "has nothing at row 1"),
        (ACTION, [[1.0] * 3, None, [1.0] * 3, [1.0] * 3], "'action' of episode 0 .* at row 1"),
        (ACTION, ["left"] * 4, "'action' of episode 0 .* holds string, not numbers"),
        (CAMERA, [{"bytes": None, "path": None}] * 4, "front' of episode 0 .* no image at row 0"),
        (CAMERA, [b"?"] * 4, "front' of episode 0 .* at row 0 is not an image"),
        ("frame_index", [0, 2, 0, 1], "frame_index 2 after that of 0: rows are missing or doubled"),
        ("timestamp", [0.2, 0.1, 0.0, 0.1], "goes backwards at row 1: its timestamp is 0.100 s"),
        ("next.reward", [0.0, None, 0.0, 0.0], "'next.reward' of episode 0 .* has nothing at row"),
    ],
)
def test_a_lerobot_column_that_lacks_something(
    exported: Callable[..., Path], column: str, cells: list[Any], sentence: str
) -> None:
    source = exported("lerobot")
    edit_table(source / DATA, **{column: cells})
    error = (InvalidEpisode, InvalidFrame)
    refused(source, "lerobot", error, sentence)  # type: ignore[arg-type]


@pytest.mark.parametrize("file", [INFO, DATA, EPISODES])
def test_a_git_lfs_pointer_is_named(exported: Callable[..., Path], file: Path) -> None:
    source = exported("lerobot")
    (source / file).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    refused(source, "lerobot", InvalidEpisode, f"{file} is a Git-LFS pointer.*git lfs pull")


def test_links_that_lead_out_are_followed_by_choice(
    exported: Callable[..., Path], tmp_path: Path
) -> None:
    source = exported("lerobot", video=True)
    (source / "videos").rename(tmp_path / "elsewhere")
    (source / "videos").symlink_to(tmp_path / "elsewhere")
    refused(source, "lerobot", InvalidEpisode, "a link to .*elsewhere.* format.links=true")
    importer = config.load("import", "lerobot", links=True)
    assert import_dataset(source, tmp_path / "in", importer, progress=False).steps == 2


def test_a_camera_must_be_chosen(exported: Callable[..., Path]) -> None:
    source = exported("lerobot")
    refused(source, "lerobot", InvalidEpisode, "no camera 'wrist'.*images.front", camera="wrist")
    features = json.loads((source / INFO).read_text())["features"]
    features["observation.images.wrist"] = features["observation.images.front"]
    edit_json(source / INFO, features=features)
    refused(source, "lerobot", InvalidEpisode, "several cameras: choose one with format.camera=")
    features["observation.depth.front"] = features.pop("observation.images.wrist")
    edit_json(source / INFO, features=features)
    either = "=front could be observation.depth.front or observation.images.front"
    refused(source, "lerobot", InvalidEpisode, either, camera="front")


def objects(root: Path) -> None:
    array = np.array([Bomb()] * 4, object)
    described = json.loads((root / "data/action/.zarray").read_text())
    described |= {"dtype": "|O", "filters": [{"id": "pickle", "protocol": 5}], "shape": [4]}
    described |= {"chunks": [4], "compressor": None, "fill_value": None}
    (root / "data/action/.zarray").write_text(json.dumps(described))
    (root / "data/action/0").write_bytes(pickle.dumps(array))


def codec(root: Path) -> None:
    edit_json(root / "data/action/.zarray", filters=[{"id": "pickle"}])


def unordered(root: Path) -> None:
    group = zarr.open_group(root / "meta", mode="r+", zarr_format=2)
    group["episode_ends"][:] = [4, 2]  # type: ignore[index]


def no_actions(root: Path) -> None:
    (root / "data/action").rename(root / "data/acts")


def link_out(root: Path) -> None:
    (root / "data/more").symlink_to(root.parent / "source")


def bright(root: Path) -> None:
    (root / "data/img").rename(root / "data/old")
    data = zarr.open_group(root / "data", mode="r+", zarr_format=2)
    data.create_array("img", data=np.full((4, 8, 8, 3), 1.5, np.float32))
    edit_json(root / "data/old/.zarray")
    (root / "data/old").rename(root / "old")


@pytest.mark.parametrize(
    ("broken", "error", "sentence"),
    [
        (objects, InvalidEpisode, "Python objects, which may be pickles"),
        (codec, InvalidEpisode, "codec 'pickle', not known to be safe"),
        (unordered, InvalidEpisode, "do not divide its 4 rows"),
        (no_actions, InvalidEpisode, "no array 'action'; it has: acts"),
        (link_out, InvalidEpisode, "is a link out of"),
        (
            bright,
            InvalidFrame,
            "img at row 0 holds floats from 1.5 to 1.5, neither all from 0 to 1",
        ),
    ],
)
def test_diffusion_policy(
    exported: Callable[..., Path], broken: Break, error: type[ChronosimError], sentence: str
) -> None:
    source = exported("diffusion-policy")
    broken(source)
    refused(source, "diffusion-policy", error, sentence)


def test_an_archive_that_leads_out_of_itself(exported: Callable[..., Path], tmp_path: Path) -> None:
    source = exported("diffusion-policy")
    for name, error in (("fine.zarr.zip", None), ("out.zarr.zip", InvalidEpisode)):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for path in source.rglob("*"):
                archive.write(path, path.relative_to(source))
            if error:
                archive.writestr("../../escaped", "x")
        if error:
            refused(tmp_path / name, "diffusion-policy", error, "'../../escaped', which leads out")
        else:
            importer = config.load("import", "diffusion-policy")
            report = import_dataset(tmp_path / name, tmp_path / "in", importer, progress=False)
            assert (report.episodes, report.steps) == (2, 2)
    assert not (tmp_path.parent / "escaped").exists()


def external(file: Any) -> None:
    del file["data/demo_0/actions"]
    file["data/demo_0/actions"] = h5py.ExternalLink("/etc/hostname", "actions")


def soft(file: Any) -> None:
    del file["data/demo_0/actions"]
    file["data/demo_0/actions"] = h5py.SoftLink("/data/demo_1/actions")


def references(file: Any) -> None:
    del file["data/demo_0/actions"]
    file["data/demo_0"].create_dataset("actions", (2,), h5py.ref_dtype)


def elsewhere(file: Any) -> None:
    raw = [("/etc/hostname", 0, 8)]
    file["data/demo_0"].create_dataset("more", (2,), "f4", external=raw)


def virtual(file: Any) -> None:
    layout = h5py.VirtualLayout((2,), "f4")
    layout[:] = h5py.VirtualSource("/tmp/other.hdf5", "x", (2,))
    file["data/demo_0"].create_virtual_dataset("more", layout)


def opaque(file: Any) -> None:
    file["data/demo_0/more"] = np.void(pickle.dumps(Bomb()))


def no_number(file: Any) -> None:
    file["data/demo_0/actions"][0, 0] = np.nan


def short(file: Any) -> None:
    del file["data/demo_0/rewards"]
    file["data/demo_0/rewards"] = np.zeros(9)


@pytest.mark.parametrize(
    ("broken", "error", "sentence"),
    [
        (external, InvalidEpisode, "link to the file '/etc/hostname'"),
        (soft, InvalidEpisode, "is a link to '/data/demo_1/actions'"),
        (references, InvalidEpisode, "holds references"),
        (elsewhere, InvalidEpisode, "keeps its data in other files"),
        (virtual, InvalidEpisode, "keeps its data in other files"),
        (opaque, InvalidEpisode, "opaque bytes"),
        (no_number, InvalidAction, "at row 0 is not finite"),
        (short, InvalidEpisode, "9 rewards, but its actions ask for 2"),
    ],
)
def test_hdf5(
    exported: Callable[..., Path],
    broken: Callable[[Any], None],
    error: type[ChronosimError],
    sentence: str,
) -> None:
    source = exported("robomimic")
    with h5py.File(source / "demos.hdf5", "r+") as file:
        broken(file)
    refused(source, "robomimic", error, sentence)


def test_an_hdf5_that_was_cut_off(exported: Callable[..., Path]) -> None:
    source = exported("robomimic")
    path = source / "demos.hdf5"
    path.write_bytes(path.read_bytes()[:3000])
    refused(source, "robomimic", InvalidEpisode, "cannot be opened as HDF5")


def test_minari_makes_no_environment(exported: Callable[..., Path]) -> None:
    """Its own reader would import and run what the data set names."""
    source = exported("minari")
    path = source / "data" / "metadata.json"
    metadata = json.loads(path.read_text())
    spec = {"id": "Evil-v0", "entry_point": "pathlib:Path", "kwargs": {}}
    path.write_text(
        json.dumps({k: v for k, v in metadata.items() if k != "action_space"} | {"env_spec": spec})
    )
    refused(source, "minari", InvalidEpisode, "known only to its environment, which is not made")


@pytest.mark.parametrize(
    ("table", "error", "sentence"),
    [
        ("action\n1\n2\n3\n4\n5\n", InvalidEpisode, "5 rows, but there are 3 frames"),
        ("act\n1\n2\n3\n", InvalidEpisode, "no column 'action' nor action_0; it has: .'act'"),
        ('action\n"[1, 2]"\n"[1]"\n"[2, 2]"\n', InvalidAction, "several widths"),
        ("action_0,action_1\n1,2\n1,\n1,2\n", InvalidAction, "several widths|no action"),
        ("action,reward\n1,much\n1,0\n1,0\n", InvalidEpisode, "'reward' .* no number"),
        ("action,terminated\n1,maybe\n1,0\n1,0\n", InvalidEpisode, "must be true or false"),
        ("action\n", InvalidEpisode, "has no row"),
    ],
)
def test_folders(tmp_path: Path, table: str, error: type[ChronosimError], sentence: str) -> None:
    source = tmp_path / "folder"
    source.mkdir()
    np.save(source / "one.npy", np.stack([picture(at, (8, 8)) for at in range(3)]))
    (source / "one.csv").write_text(table)
    refused(source, "folder", error, sentence)


def test_folders_hold_no_pickles(tmp_path: Path) -> None:
    source = tmp_path / "folder"
    source.mkdir()
    (source / "one.csv").write_text("action\n1\n")
    refused(source, "folder", EpisodeNotFound, "no frames beside")
    np.save(source / "one.npy", np.array([Bomb()], object), allow_pickle=True)
    refused(source, "folder", InvalidEpisode, "pickles are refused")


@pytest.mark.parametrize(
    ("name", "lacks"),
    [
        ("lerobot", "foreign is no LeRobot data set (it has no meta/info.json): "),
        ("minari", "no Minari data set (it has no data/metadata.json): "),
        ("robomimic", "no robomimic data set (it has no demos.hdf5): "),
        (
            "diffusion-policy",
            "no diffusion_policy data set (it has no .zgroup of Zarr v2 nor zarr.json",
        ),
        ("folder", "no folder of tables and frames (it has no table of an episode: .json, .jsonl"),
    ],
)
@pytest.mark.parametrize("above", [0, 2])
def test_another_format(exported: Callable[..., Path], name: str, lacks: str, above: int) -> None:
    """What is there is named, be it in a folder further in."""
    other = "diffusion-policy" if name == "lerobot" else "lerobot"
    source = exported(other)
    for _ in range(above):
        (moved := source.with_name("moved")).mkdir()
        source.rename(moved / "data-set")
        moved.rename(source)
    inner = "name .*foreign/data-set/data-set, which" if above else "it"
    sentence = f"{re.escape(lacks)}.*{inner} looks like format={other}"
    refused(source, name, EpisodeNotFound, sentence)


def test_of_several_data_sets_that_of_the_format_is_named(tmp_path: Path) -> None:
    for name in ("a/one.csv", "b/meta/info.json"):
        (tmp_path / "sets" / name).parent.mkdir(parents=True)
        (tmp_path / "sets" / name).touch()
    refused(tmp_path / "sets", "lerobot", EpisodeNotFound, "name .*sets/b, which looks like")
    (tmp_path / "sets" / "one.csv").touch()
    file = tmp_path / "sets" / "one.csv"
    refused(file, "folder", EpisodeNotFound, "give the folder that it is in, .*sets$")


def test_what_is_no_data_set_is_described(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for at in range(7):
        (tmp_path / "photos" / f"{at}.txt").touch()
    found = r"name its format=; it holds 0.txt, .* and 2 more"
    refused(tmp_path / "photos", "lerobot", EpisodeNotFound, found)


@pytest.mark.parametrize("name", ["lerobot", "diffusion-policy", "folder"])
@pytest.mark.parametrize("part", [".", "run", "0000002"])
def test_our_own_episodes(dataset: Maker, tmp_path: Path, name: str, part: str) -> None:
    source = dataset(steps=1)
    if part == "run":  # as the commands lay out their results
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "report.json").write_text("{}")
        source = source.rename(tmp_path / "run" / "episodes").parent
    else:
        source = source / part
    refused(source, name, InvalidEpisode, "holds chronosim's own episodes already")


def test_a_zarr_of_others_is_not_ours(tmp_path: Path) -> None:
    for name in ("data", "meta"):
        zarr.create_group(tmp_path / "foreign" / name, zarr_format=3)
    refused(tmp_path / "foreign", "diffusion-policy", EpisodeNotFound, "no .zgroup of Zarr v2")


@pytest.mark.parametrize("name", ["lerobot", "diffusion-policy", "minari", "robomimic", "folder"])
def test_nothing_there(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", name, EpisodeNotFound, "no")
    refused(tmp_path / "absent", name, EpisodeNotFound, "there is no data set at")
