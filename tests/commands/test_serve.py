import re
import signal
import socket
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from chronosim.cli.main import main
from chronosim.commands.serve import welcome
from chronosim.models.serving.remote import RemoteModel
from chronosim.settings.compose import compose_settings
from chronosim.types import EditPrompt


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM])
def test_a_model_is_served_until_it_is_ended(ended_by: signal.Signals) -> None:
    run = (
        # A shell that runs the tests in the background has its children ignore interrupts.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from chronosim.cli import main; raise SystemExit(main(['serve', 'model=echo', 'port=0']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", run], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        found = re.search(r"echo at (http://127\.0\.0\.1:\d+)", said)
        assert found is not None, said
        how = process.stdout.readline()
        assert how == f"Ask it: chronosim rollout model=remote model.url={found[1]}\n"
        model = RemoteModel(found[1])
        frame = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
        [prediction] = model.predict([EditPrompt(frame, "stay", 0)])
        np.testing.assert_array_equal(prediction.frame, frame)
    finally:
        process.send_signal(ended_by)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out.endswith("ended: what was being predicted has been answered\n")
    assert "POST /predict: 200 in 0." in err


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["host=0.0.0.0"], "set a token, or host=127.0.0.1 and a tunnel"),
        (["token_variable=NOT_THERE"], "a token of 16 characters or more"),
        (["port=99999"], "port must be a whole number from 0 to 65535, not 99999"),
        (["certificate=me.crt"], "certificate= and private_key= come together"),
        (["certificate=me.crt", "private_key=me.key"], "are no PEM files that belong together"),
        (["timeout=0"], "timeout must be a whole number of at least 1"),
    ],
)
def test_settings_that_cannot_work(
    settings: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "model=echo", *settings]) == 2
    assert said in capsys.readouterr().err


def test_a_port_that_is_taken_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "model=echo", f"port={port}"]) == 2
    assert f"127.0.0.1:{port} cannot be listened at" in capsys.readouterr().err


def test_others_are_told_how_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "gpu-machine")
    settings: Any = compose_settings("serve", ["host=0.0.0.0", "token_variable=WORLD"])
    service: Any = SimpleNamespace(url="http://0.0.0.0:81", port=81, identity={"name": "echo"})
    said = welcome(service, settings)
    assert "first: ssh -N -L 81:127.0.0.1:81 gpu-machine\n" in said
    assert "model.url=http://127.0.0.1:81 model.token_variable=WORLD\n" in said
    settings = compose_settings("serve", ["host=0.0.0.0", "certificate=c", "private_key=k"])
    assert "model.url=https://gpu-machine:81\n" in welcome(service, settings)
