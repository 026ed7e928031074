from pathlib import Path

import pytest
from omegaconf import OmegaConf

from chronosim.cli.main import main
from chronosim.cli.output import make_folder, output_path, same_settings
from chronosim.errors import InvalidConfig

COMMANDS = (
    ["rollout", "model=echo"],
    ["record"],
    ["train"],
    ["demo", "model=echo"],
    ["episodes", "export", "data", "format=mp4"],
    ["episodes", "import", "clips", "format=folder"],
    ["episodes", "show", "data"],
    ["episodes", "stats", "data"],
    ["episodes", "play", "data"],
)


def test_results_go_to_folders_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = ["model=echo", "episodes=1", "horizon=1", "pictures=0", "output=data"]
    assert main(["rollout", *settings]) == 0
    (tmp_path / "clips").mkdir()
    before = sorted(tmp_path.rglob("*"))
    for command in COMMANDS:
        capsys.readouterr()
        assert main([*command, "output=s3://bucket/set"]) == 2, command
        said = "chronosim: output must be a folder on this machine, not s3://bucket/set"
        assert said in capsys.readouterr().err.splitlines(), command
        assert sorted(tmp_path.rglob("*")) == before, command


@pytest.mark.parametrize("address", ["s3://bucket/set", "memory://set", "file:///tmp/set"])
def test_no_address_is_taken_for_a_folder(address: str) -> None:
    with pytest.raises(InvalidConfig, match="output must be a folder on this machine, not"):
        output_path(OmegaConf.create({"output": address}))
    assert output_path(OmegaConf.create({"output": "~/set"})) == Path.home() / "set"


def test_a_folder_is_gone_on_with_by_the_same_settings_or_such_as_may_differ(
    tmp_path: Path,
) -> None:
    settings = {"data": "a", "world": {"steps": 3, "batch": 2}}  # and no seed
    make_folder(OmegaConf.create(settings), tmp_path)
    more = OmegaConf.create(settings | {"world": {"steps": 5, "batch": 2}})
    assert same_settings(more, tmp_path, ("world.steps",))
    with pytest.raises(InvalidConfig, match=r"was made with world\.steps=3, not 5: use the same"):
        same_settings(more, tmp_path, ())
    with pytest.raises(InvalidConfig, match="was made with data=a, not b: use the same"):
        same_settings(OmegaConf.create(settings | {"data": "b"}), tmp_path, ("world.steps",))
