"""The denoising loop on a flow whose data is known."""

from typing import Any

import pytest
import torch
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler
from torch import Tensor

from chronosim.models.engine.denoising import build_scheduler, denoise
from chronosim.models.engine.sampling import Sampling

UNIPC: Any = UniPCMultistepScheduler  # untyped
DPM: Any = DPMSolverMultistepScheduler
FLOW = {"prediction_type": "flow_prediction", "use_flow_sigmas": True}


def run(scheduler: Any, sampling: Sampling) -> tuple[Tensor, Tensor, Tensor, list[int]]:
    """Denoises along straight lines from noise to data; gives the data and what came out."""
    generator = torch.Generator().manual_seed(0)
    data, noise = torch.randn((2, 1, 4, 5, 2, 2), generator=generator)
    seen: list[int] = []

    def flow(latents: Tensor, condition: Tensor, timestep: Tensor) -> Tensor:
        seen.append(latents.shape[2])
        assert condition.shape[2] == latents.shape[2]
        line = noise - data
        return line if latents.shape[2] == 5 else line[:, :, [0, -1]]

    condition = torch.zeros(1, 2, 5, 2, 2)
    result = denoise(flow, scheduler, noise, condition, sampling, lambda: None)
    return data, result.latents, result.between, seen


@pytest.mark.parametrize("scheduler", ["unipc", "euler"])
@pytest.mark.parametrize("reasoning_steps", [1, 3, 5, "all"])
def test_it_finds_the_data_and_the_frames_in_between(
    scheduler: str, reasoning_steps: int | str
) -> None:
    sampling = Sampling(6, 1.0, 3.0, reasoning_steps, scheduler=scheduler)
    fresh = build_scheduler(UNIPC(**FLOW).config, sampling)
    data, latents, between, seen = run(fresh, sampling)
    expected = data if reasoning_steps == "all" else data[:, :, [0, -1]]
    torch.testing.assert_close(latents, expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(between, data[:, :, 1:-1], atol=1e-4, rtol=0)
    assert seen == [5] * sampling.reasoned_steps + [2] * (6 - sampling.reasoned_steps)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers' own
def test_any_multistep_scheduler_forgets_the_dropped_tokens() -> None:
    """Diffusers' pipeline cannot drop with this one; the loop knows nothing of its memory."""
    scheduler = DPM(solver_order=2, flow_shift=3.0, **FLOW)
    data, latents, between, _ = run(scheduler, Sampling(6, 1.0, 3.0, 3))
    torch.testing.assert_close(latents, data[:, :, [0, -1]], atol=1e-2, rtol=0)
    torch.testing.assert_close(between, data[:, :, 1:-1], atol=1e-2, rtol=0)


def test_schedulers_are_built_from_any_config() -> None:
    euler = build_scheduler(UNIPC(num_train_timesteps=500).config, Sampling(scheduler="euler"))
    assert type(euler).__name__ == "FlowMatchEulerDiscreteScheduler"
    assert euler.config.num_train_timesteps == 500
    assert euler.shift == 5.0
    unipc = build_scheduler(euler.config, Sampling(flow_shift=2.0))
    assert type(unipc).__name__ == "UniPCMultistepScheduler"
    assert unipc.config.flow_shift == 2.0
    assert unipc.config.use_flow_sigmas
    assert unipc.config.prediction_type == "flow_prediction"
