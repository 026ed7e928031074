import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chronosim.cli.main import main
from chronosim.models.serving.server import Server


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("folder=s3://bucket/runs", "folder must be one on this machine, not s3://bucket/runs"),
        ("port=-1", "port must be a whole number from 0 to 65535"),
        ("port=70000", "port must be a whole number from 0 to 65535, not 70000"),
        ("host=no.such.host.invalid", "no.such.host.invalid:0 cannot be listened at"),
        ("token=", "token= must hold a token of 16 characters or more"),
        ("token='                    '", "token= must hold a token of 16 characters or more"),
        ("token=short", "token= must hold a token of 16 characters or more"),
        ("sessions=0", "sessions must be a whole number of at least 1"),
        ("scenario=recorded", "scenario.starts"),
        ("scenario=street-sedan", "this scenario begins with a frame of yours"),
    ],
)
def test_settings_that_cannot_work_are_one_sentence(
    setting: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [setting] if setting.startswith("port") else ["port=0", setting]
    assert main(["studio", "model=echo", "browser=false", *given]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert said in line


def test_a_port_that_is_taken_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert main(["studio", "model=echo", "browser=false", f"port={port}"]) == 2
    assert "choose another host= or port=" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        ((), "http://127.0.0.1:"),
        (("token=mine-0123456789ab",), "/?token=mine-0123456789ab"),
        (("token=a&b#c+d%e?f/0123456789",), "/?token=a%26b%23c%2Bd%25e%3Ff%2F0123456789"),
        (("host=0.0.0.0",), "/?token="),
    ],
)
def test_it_says_where_it_is_and_asks_strangers_for_a_token(
    settings: tuple[str, ...],
    address: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    served: list[Any] = []

    def run(server: Server, *, ready: Callable[[], None]) -> None:
        ready()
        served.append(server)

    monkeypatch.setattr(Server, "run", run)
    given = ["model=echo", "browser=false", "port=0", f"folder={tmp_path / 'mine'}"]
    assert main(["studio", *given, *settings]) == 0
    out = capsys.readouterr().out
    assert address in out
    assert ("token" in out) == bool(settings)
    assert str(tmp_path / "mine") in out
    assert len(served) == 1
    assert not (tmp_path / "mine").exists(), "the folder is made when something is saved"
