"""The pipeline that ours is measured against is diffusers' own, on the same weights."""

from typing import Any

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d
from diffusers.models.transformers.transformer_chronoedit import WanAttnProcessor
from transformers.utils import logging as transformers_logging

from chronosim.bench import stock
from chronosim.bench.stock import StockChronoEdit, pit, twin
from chronosim.bench.table import figures, markdown
from chronosim.bench.timing import measure
from chronosim.models.loading.load import load


def test_a_twin_is_stock_and_shares_the_weights() -> None:
    parts = load("nano", fused=True, compiled="eager").components
    ours, theirs = parts.transformer, twin(parts.transformer)
    assert all(type(b.attn2.processor) is WanAttnProcessor for b in theirs.blocks)
    assert not any(b.attn1.fused_projections for b in theirs.blocks)
    assert all(b.attn1.fused_projections for b in ours.blocks)
    assert all(b._compiled_call_impl is None for b in theirs.blocks)
    mine = dict(ours.named_parameters())
    assert all(mine[n].data_ptr() == w.data_ptr() for n, w in theirs.named_parameters())
    kinds = {type(m) for m in twin(parts.vae).modules() if isinstance(m, WanCausalConv3d)}
    assert kinds == {WanCausalConv3d}


@pytest.mark.slow
def test_all_are_asked_alike_and_ours_equals_stock(compact: Any, kit: Any) -> None:
    contenders = pit(kit.model(compact, denoising_steps=2), 1)
    prompts = [kit.prompt(0)]
    calls: list[int] = []
    timed = measure(contenders, prompts, [1], torch.device("cpu"), lambda: calls.append(1))
    assert len(calls) == len(contenders) * (1 * 2 + 2)
    rows: list[dict[str, Any]] = figures(contenders, timed, 1e9, None)
    by_name = {row["name"]: row for row in rows}
    assert by_name["outcome: chronosim"]["from_stock"] <= 1
    assert by_name["preview: chronosim, full reasoning"]["from_stock"] <= 1
    # Another algorithm, and the stock pipeline itself, are not held against the stock pipeline.
    early = by_name["preview: chronosim, 1 of 2 steps reason"]
    assert early["from_stock"] is None
    assert early["psnr"] < 60
    assert by_name["outcome: stock"]["from_stock"] is by_name["outcome: stock"]["psnr"] is None
    assert [row["frames"] for row in rows] == [1, 1, 9, 9, 9]
    assert all(row["p50"] > row["loop_p50"] > 0 for row in rows)
    head, _, *lines = markdown(rows, truth=False).splitlines()
    assert len(lines) == 5
    assert "| of the matmul rate, in the loop | memory of a call, MiB |" in head
    assert lines[3].endswith(" | - |")


def test_the_pipeline_is_imported_without_a_word_of_transformers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log: Any = transformers_logging
    before, seen, real = log.get_verbosity(), [], stock._hf

    class Watched:
        def __getattr__(self, name: str) -> Any:
            seen.append((name, log.get_verbosity()))
            return getattr(real, name)

    monkeypatch.setattr(stock, "_hf", Watched())
    model = load("nano")
    StockChronoEdit(model.components, model.sampling)
    assert ("ChronoEditPipeline", log.ERROR) in seen
    assert log.get_verbosity() == before
