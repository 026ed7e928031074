"""What a log may make: the list, and everything that is tried against it."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronosim.envs.replay import run_again
from chronosim.episodes import EpisodeReader, list_episodes
from chronosim.errors import InvalidConfig, InvalidEpisode
from chronosim.frames import write_frame
from chronosim.settings.parts import locate, names
from chronosim.settings.renamed import rename_log
from chronosim.settings.trust import _PARTS, check_parts, find_requests
from chronosim.settings.typed import parameters

OLD = Path(__file__).parents[1] / "old_logs"
ECHO = {"_target_": "chronosim.testing.EchoModel", "time": 1}
DRIVING = {"_target_": "chronosim.prompters.Driving", "seconds_per_step": 0.36}
ROAD = {"_target_": "chronosim.scenarios.CarRacingScenario", "starts": None, "speed": 0.0}
SCENE = {"_target_": "chronosim.scenarios.Scene", "frame": "carracing"}
NANO = {"_target_": "chronosim.models.load", "name": "nano", "preset": "nano", "device": None}


@pytest.mark.parametrize(("name", "from_log"), [("echo", False), ("pusht", False), ("nano", True)])
def test_logs_of_earlier_builds_replay_exactly(name: str, from_log: bool) -> None:
    # Written by cd9afb0, which named classes by their files. nano's own frames may differ in the
    # last digit from one processor to the next: what it answered is taken from the log.
    [found] = run_again(list_episodes(OLD / name), from_log=from_log)
    assert found.problem is None
    assert found.steps >= 2


def test_old_names_are_read_as_those_of_today() -> None:
    about = EpisodeReader(OLD / "nano" / "0000000").about
    assert about["prompter"].startswith("Events(prompter=")
    assert about["config"]["prompter"]["_target_"] == "chronosim.prompters.Events"
    assert about["config"]["model"]["_target_"] == "chronosim.models.load"
    same = {"prompter": "MyDrivingPrompter(3)", "note": "DrivingPrompter(1)"}
    assert rename_log(same) == same


@pytest.mark.parametrize("part", _PARTS)
def test_what_is_on_the_list_is_there_with_these_settings(part: str) -> None:
    for target, settings in _PARTS[part].items():
        known = parameters(locate(f"chronosim.{target}"))
        assert set(settings) <= set(known), target


@pytest.mark.parametrize("name", names("scenario"))
def test_scenarios_of_the_library_are_on_the_list(name: str) -> None:
    from omegaconf import OmegaConf

    from chronosim.settings.compose import compose_config

    given = [f"scenario={name}", *(["scenario.starts=here"] if name == "recorded" else [])]
    given += ["+prompter=driving"] if name == "recorded" else []
    try:
        config: Any = OmegaConf.to_container(compose_config("rollout", given), resolve=True)
    except InvalidConfig:
        pytest.skip("it needs to be told more")
    parts = {part: config[part] for part in ("model", "prompter", "scenario")}
    assert [str(request) for request in find_requests(parts, Path("here"))] == []


HOSTILE = {
    "a class of anyone's": ("model", {"_target_": "os.system", "command": "id"}),
    "a class below ours": ("model", {"_target_": "chronosim.settings.parts.load", "group": "x"}),
    "no target": ("model", {"time": 1}),
    "a target that is no name": ("model", {"_target_": ["os.system"]}),
    "a target in a target": ("model", {"_target_": {"_target_": "os.system"}}),
    "no mapping": ("model", "os.system"),
    "a target of another part": ("prompter", ECHO),
    "a policy": ("scenario", {"_target_": "chronosim.policies.LaneFollower"}),
    "a simulator": ("scenario", {"_target_": "chronosim.simulators.GymnasiumSimulator"}),
    "our prefix twice": ("model", {"_target_": "chronosim.chronosim.testing.EchoModel"}),
    "the short name": ("model", {"_target_": "testing.EchoModel"}),
    "spaces": ("model", {"_target_": " chronosim.testing.EchoModel"}),
    "args": ("model", ECHO | {"_args_": [3]}),
    "partial": ("model", ECHO | {"_partial_": True}),
    "partial, off": ("model", ECHO | {"_partial_": False}),
    "recursive": ("model", ECHO | {"_recursive_": False}),
    "convert": ("model", ECHO | {"_convert_": None}),
    "a setting not listed": ("model", ECHO | {"x": 1}),
    "a part in a number": ("model", ECHO | {"time": {"_target_": "os.getpid"}}),
    "a part in a list": ("model", ECHO | {"time": [{"_target_": "os.getpid"}]}),
    "a part deep in words": (
        "prompter",
        {
            "_target_": "chronosim.prompters.Events",
            "events": {"a": {"b": {"_target_": "os.abort"}}},
        },
    ),
    "a part in a wording": (
        "prompter",
        {"_target_": "chronosim.prompters.Joints", "wording": {"sentence": {"_target_": "x.y"}}},
    ),
    "a huge number": ("model", ECHO | {"time": 10**12}),
    "an interpolation": ("model", ECHO | {"time": "${oc.env:HOME}"}),
    "an interpolated name": ("prompter", DRIVING | {"resolution": {"${oc.env:HOME}": 1}}),
    "an interpolated target": ("model", {"_target_": "${oc.env:X}"}),
    "an address in words": (
        "prompter",
        {"_target_": "chronosim.prompters.Trigger", "sentence": "http://a.b"},
    ),
    "words without end": (
        "prompter",
        {"_target_": "chronosim.prompters.Trigger", "sentence": "x" * 100_000},
    ),
    "words that grow": (
        "prompter",
        {"_target_": "chronosim.prompters.Trigger", "sentence": "{:>999999999}"},
    ),
    "words that write to a terminal": (
        "prompter",
        {"_target_": "chronosim.prompters.Trigger", "sentence": "\x1b]0;mine\x07"},
    ),
    "names that write to a terminal": ("model", ECHO | {"\x1b]0;mine\x07": 1}),
    "a name without end": ("model", ECHO | {"x" * 5000: 1}),
    "names that write to a terminal, of a stranger": ("model", {"_target_": "a.b", "\x1b[2J": 1}),
    "a prompter from a file": (
        "prompter",
        {"_target_": "chronosim.prompters.Events", "prompter": "evil.yaml", "events": {}},
    ),
    "an address": ("model", {"_target_": "chronosim.models.RemoteModel", "url": "http:/\t/host"}),
    "a hub id": ("model", NANO | {"name": "evil-org/evil-model"}),
    "a folder of weights": ("model", NANO | {"name": "./weights"}),
    "the name of another group": ("model", NANO | {"preset": "carracing"}),
    "a mirror": ("model", NANO | {"endpoint": "https://evil.example"}),
    "a cache": ("model", NANO | {"cache": "/etc"}),
    "a revision": ("model", NANO | {"revision": "evil"}),
    "weights of a file": ("model", NANO | {"transformer": "evil/org/x.safetensors"}),
    "loras": ("model", NANO | {"loras": ["evil/org/x.safetensors"]}),
    "a kernel of the hub": ("model", NANO | {"attention": "flash_hub"}),
    "a compiler's backend": ("model", NANO | {"compiled": "inductor"}),
    "a quantiser": ("model", NANO | {"quantization": {"transformer": {"_target_": "os.abort"}}}),
    "a device of another kind": ("model", NANO | {"device": "meta"}),
    "a writer": ("model", {"_target_": "chronosim.models.load_enhanced", "model": "echo"}),
    "code of a judge": (
        "scenario",
        {"_target_": "chronosim.scenarios.RecordedScenario", "starts": "x", "judge": "os.abort"},
    ),
    "a judge": ("scenario", SCENE | {"judge": {"_target_": "chronosim.metrics.Judge", "url": "x"}}),
    "a measure with weights": (
        "scenario",
        SCENE
        | {
            "goal": {
                "_target_": "chronosim.scenarios.goals.LikeFrame",
                "frame": "inside.png",
                "by": {"_target_": "os.abort"},
            }
        },
    ),
    "a criterion of anyone's": (
        "scenario",
        SCENE
        | {
            "goal": {
                "_target_": "chronosim.scenarios.goals.AllOf",
                "criteria": [{"_target_": "chronosim.scenarios.goals.OnRoad"}, {"_target_": "a.b"}],
            }
        },
    ),
    "depth": ("scenario", SCENE | {"plan": json.loads("[" * 60 + "]" * 60)}),
    "breadth": ("scenario", SCENE | {"plan": [0] * 50_000}),
}


@pytest.mark.parametrize(("part", "settings"), HOSTILE.values(), ids=HOSTILE)
def test_what_is_not_on_the_list_is_refused_in_one_sentence(
    part: str, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    parts = {"model": ECHO, "prompter": DRIVING, "scenario": ROAD}
    check_parts(parts, "the log", tmp_path)
    with pytest.raises(InvalidConfig, match="give trust=true if you trust it") as caught:
        check_parts(parts | {part: settings}, "the log", tmp_path)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 2000


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set with a picture in it, a folder, and links to what lies outside."""
    dataset = tmp_path / "set"
    (dataset / "links").mkdir(parents=True)
    for path in (dataset / "in.png", tmp_path / "out.png"):
        write_frame(path, np.zeros((16, 16, 3), np.uint8))
    (dataset / "link.png").symlink_to(tmp_path / "out.png")
    (dataset / "links" / "one.png").symlink_to(tmp_path / "out.png")
    (dataset / "up").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    return dataset


def may_begin_at(frame: str, root: Path | None) -> bool:
    scene = SCENE | {"frame": frame}
    parts = {"model": ECHO, "prompter": DRIVING, "scenario": scene}
    return not list(find_requests(parts, root))


def test_files_of_the_data_set_alone_are_read(inside: Path) -> None:
    for frame in ("set/in.png", str(inside / "in.png"), "set/links/../in.png", "carracing"):
        assert may_begin_at(frame, inside), frame
    for frame in (
        "out.png",
        "set/../out.png",
        "set/link.png",
        "set/links",
        "set/up/out.png",
        str(inside.parent / "out.png"),
        "~/out.png",
        "~root/out.png",
        "file:///etc/passwd",
        "file:/etc/passwd",
        "//server/share/x.png",
        "\\\\server\\share\\x.png",
        "C:\\x.png",
        "/etc/passwd",
        "set/in.png\0",
        "s3://bucket/x",
        "nosuchstart",
        "",
    ):
        assert not may_begin_at(frame, inside), frame
    assert not may_begin_at("set/in.png", None), "a data set that is no folder has no files"


def copied(tmp_path: Path, **parts: Any) -> Path:
    """The old log of a rollout, with other parts in its settings."""
    path = tmp_path / "set" / "0000000"
    shutil.copytree(OLD / "echo" / "0000000", path)
    file = path / "zarr.json"
    log = json.loads(file.read_text())
    log["attributes"]["about"]["config"] |= parts
    file.write_text(json.dumps(log))
    return path


def test_a_trusted_log_says_first_what_it_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text("def make(word):\n    raise SystemExit(word)\n")
    (tmp_path / "more.yaml").write_text("scenario: {_target_: mine.other, url: http://a.b}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [str(tmp_path), *__import__("sys").path])
    path = copied(tmp_path, model={"_target_": "mine.make", "word": "more.yaml"})
    said: list[str] = []
    with pytest.raises(InvalidConfig, match=r"calls 'mine\.make'"):
        list(run_again([path], say=said.append))
    assert said == []
    with pytest.raises(SystemExit):
        list(run_again([path], trust=True, say=said.append))
    [told] = said
    assert "model: calls 'mine.make'; word='more.yaml'" in told
    assert "calls 'mine.other'; url='http://a.b'; asks the address 'http://a.b'" in told


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"horizon": "x"}, "has a horizon of 'x'"),
        ({"horizon": 0}, "has a horizon of 0"),
        ({"scenario": ROAD | {"speed": "fast"}}, "speed must be a number, not 'fast'"),
        ({"model": ECHO | {"time": 0}}, "1 frame or more"),
    ],
)
def test_settings_of_a_log_that_cannot_be(parts: dict[str, Any], said: str, tmp_path: Path) -> None:
    path = copied(tmp_path, **parts)
    try:
        [found] = run_again([path])
        problem = found.problem
    except InvalidConfig as error:
        problem = str(error)
    assert problem is not None
    assert said in problem


def test_what_is_made_must_be_of_its_kind(tmp_path: Path) -> None:
    path = copied(tmp_path, model={"_target_": "pathlib.PurePath"})
    with pytest.raises(InvalidConfig, match="model must be a WorldModel"):
        list(run_again([path], trust=True, say=lambda _: None))


@pytest.mark.parametrize(
    ("name", "value"),
    [("steps", float("inf")), ("steps", "x"), ("about", [["a", 1]]), ("about", 3)],
)
def test_an_episode_that_says_nonsense_of_itself(name: str, value: object, tmp_path: Path) -> None:
    path = copied(tmp_path)
    log = json.loads((path / "zarr.json").read_text())
    log["attributes"][name] = value
    (path / "zarr.json").write_text(json.dumps(log))
    with pytest.raises(InvalidEpisode):
        EpisodeReader(path)


@pytest.mark.parametrize("data", ["../outside", "/etc", "a/b", "", None, 3])
def test_an_episode_lies_in_its_folder(data: object, tmp_path: Path) -> None:
    path = copied(tmp_path)
    log = json.loads((path / "zarr.json").read_text())
    log["attributes"]["data"] = data
    (path / "zarr.json").write_text(json.dumps(log))
    with pytest.raises(InvalidEpisode):
        EpisodeReader(path)


def test_an_episode_nested_without_end(tmp_path: Path) -> None:
    path = copied(tmp_path)
    text = (path / "zarr.json").read_text()
    (path / "zarr.json").write_text(text.replace('"lineage": null', f'"lineage": {"[" * 50_000}'))
    with pytest.raises(InvalidEpisode):
        EpisodeReader(path)
