"""What the figures say where there is little to compare."""

from dataclasses import replace
from typing import Any

import numpy as np

from chronosim.bench.table import explain, figures, markdown
from chronosim.bench.timing import Contender, Timed
from chronosim.models.engine.sampling import Sampling
from chronosim.testing import EchoModel
from chronosim.types import Prediction

FRAME = np.full((1, 8, 8, 3), 100, np.uint8)


def row(level: int, truth: bool, memory: int | None = 2**20) -> dict[str, Any]:
    contender = Contender("one", EchoModel(), "outcome", Sampling(2, 1.0), transformer=None)
    answer = [Prediction(FRAME + np.uint8(level))]
    timed = Timed({1: [4.0]}, answer, loops=[2.0], memory=memory, flops=10**9)
    [found] = figures([contender], [timed], 1e9, [FRAME] if truth else None)
    return found


def test_equal_is_not_the_same_as_nothing_to_compare() -> None:
    assert row(0, truth=True)["psnr"] == "equal"
    assert row(0, truth=True)["psnr_between"] is None
    assert markdown([row(0, truth=True)], truth=True).endswith("| equal / - |")
    assert markdown([row(10, truth=True)], truth=True).endswith("| 28.1 / - |")
    assert "PSNR" not in markdown([row(0, truth=False)], truth=False)


def test_only_equal_sampling_is_held_against_stock() -> None:
    full = Sampling(2, 1.0, reasoning_steps="all")
    ways = [full, replace(full, reasoning_steps=2), replace(full, reasoning_steps=1), full]
    model = EchoModel()
    contenders = [Contender("", model, "preview", way, transformer=None) for way in ways[:3]]
    contenders.append(Contender("", model, "preview", full, transformer=None, stock=True))
    timed = [Timed({1: [1.0]}, [Prediction(FRAME)], loops=[1.0]) for _ in ways]
    rows = figures(contenders, timed, 1e9, None)
    assert [found["from_stock"] for found in rows] == [0, 0, None, None]
    assert [found["psnr"] for found in rows] == ["equal", "equal", "equal", None]


def test_the_share_is_of_the_loop() -> None:
    found = row(0, truth=False)
    assert found["share_of_matmul_rate"] == 0.5
    assert "| 4.000 | 4.000 | 0.25 | 2.000 | 1.00 | 50% | 1 |" in markdown([found], truth=False)


def test_memory_that_nobody_could_measure_is_a_dash() -> None:
    assert markdown([row(0, truth=False, memory=None)], truth=False).endswith("| 50% | - |")


def test_what_was_timed_is_told() -> None:
    report = {
        "rows": [],
        "matmul_rate": 2e12,
        "truth": False,
        "size": [480, 832],
        "settings": {"stock": False, "predictions": 3, "seed": 7},
        "model": {
            "name": "large",
            "dtype": "bfloat16",
            "micro_batch": 4,
            "fused": True,
            "attention": "sage",
            "batched_guidance": True,
            "storage": "float8",
            "sampling": {
                "denoising_steps": 8,
                "guidance": 2.5,
                "flow_shift": 2.0,
                "scheduler": "euler",
            },
        },
        "versions": dict.fromkeys(("chronosim", "torch", "diffusers", "transformers"), "1"),
        "machine": {
            "gpu": "A GPU",
            "processor": "A processor",
            "cpus": 4,
            "usable_cpus": 4,
            "torch_threads": 2,
            "python": "3.11.0",
        },
    }
    text = explain(report)
    assert (
        "large at 480 x 832, 8 denoising steps, guidance 2.5, flow shift 2, euler, bfloat16, "
        "4 rows at once, fused=True attention=sage batched_guidance=True, storage=float8, "
        "3 rounds after a warm-up, seed 7."
    ) in text
    assert "On: A GPU, A processor, 4 cores, 2 threads, Python 3.11.0, chronosim 1" in text
    assert "2,000 GFLOP/s" in text
    assert "allocated on the GPU meanwhile, weights included" in text
    assert "stock" not in text
