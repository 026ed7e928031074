"""What full training leaves, made a file that loads."""

import os
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.distributed.checkpoint.state_dict_saver import save

from chronosim.errors import InvalidModel, ModelNotFound
from chronosim.models.engine.components import Components
from chronosim.models.loading.load import load
from chronosim.models.loading.training_checkpoints import convert_checkpoint


def trained(wide: Components, prefix: str) -> dict[str, Any]:
    weights = wide.transformer.state_dict().items()
    optimiser = {"step": torch.ones(1), "lr": 0.1}
    return {f"{prefix}{name}": value for name, value in weights} | {"optimiser": optimiser}


def save_dcp(state: dict[str, Any], folder: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save(state, checkpoint_id=folder, no_dist=True)
    return folder


@pytest.mark.parametrize("kind", ["dcp", "pth", "nested"])
def test_a_trained_transformer_is_loaded(
    kind: str, kit: Any, wide: Components, folder: Path, tmp_path: Path
) -> None:
    if kind == "dcp":
        source = save_dcp(trained(wide, "net."), tmp_path / "iter_000100")
    else:
        source, state = tmp_path / "mine.pth", dict(wide.transformer.state_dict())
        torch.save({"model": state, "epoch": 3} if kind == "nested" else state, source)
    target = convert_checkpoint(source, tmp_path / "mine.safetensors")
    assert set(load_file(target)) == set(wide.transformer.state_dict())
    prompt = kit.prompt(1)
    given: dict[str, Any] = {"denoising_steps": 2, "guidance": 1.0}
    ours = load(folder, transformer=target, **given).predict([prompt])[0].frame
    assert np.array_equal(ours, load(folder, **given).predict([prompt])[0].frame)


def test_of_two_transformers_one_is_asked_for(wide: Components, tmp_path: Path) -> None:
    both = trained(wide, "net.") | trained(wide, "net_ema.")
    source = save_dcp(both, tmp_path / "both")
    with pytest.raises(InvalidModel, match=r"2 transformers: give prefix= one of 'net.', 'net_ema"):
        convert_checkpoint(source, tmp_path / "a.safetensors")
    target = convert_checkpoint(source, tmp_path / "a.safetensors", prefix="net_ema.")
    assert len(load_file(target)) == len(wide.transformer.state_dict())


class Evil:
    def __reduce__(self) -> Any:
        return os.mkdir, ("was_here",)


def test_no_code_of_a_checkpoint_runs(
    wide: Components, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = save_dcp(trained(wide, "net."), tmp_path / "evil")
    (folder / ".metadata").write_bytes(pickle.dumps(Evil()))
    torch.save({"a": Evil()}, tmp_path / "evil.pth")
    for source in (folder, tmp_path / "evil.pth"):
        with pytest.raises(InvalidModel, match=r"is not opened|by weights alone"):
            convert_checkpoint(source, tmp_path / "a.safetensors")
    (folder / ".metadata").write_bytes(b"cut off")
    with pytest.raises(InvalidModel, match="cannot be read as a checkpoint"):
        convert_checkpoint(folder, tmp_path / "a.safetensors")
    assert not (tmp_path / "was_here").exists()


def test_what_holds_no_transformer_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1)}, tmp_path / "other.pth")
    with pytest.raises(InvalidModel, match="holds no transformer: no weight ends in"):
        convert_checkpoint(tmp_path / "other.pth", tmp_path / "a.safetensors")
    with pytest.raises(ModelNotFound, match=r"no checkpoint at .*nowhere"):
        convert_checkpoint(tmp_path / "nowhere", tmp_path / "a.safetensors")
    with pytest.raises(ModelNotFound, match=r"no \.metadata"):
        convert_checkpoint(tmp_path, tmp_path / "a.safetensors")
    with pytest.raises(InvalidModel, match=r"to a \.safetensors, not to a\.pth"):
        convert_checkpoint(tmp_path / "other.pth", tmp_path / "a.pth")
