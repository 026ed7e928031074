"""One model on several GPUs: the processes that torchrun started share each forward.

Diffusers' context parallelism in Ulysses' form (arXiv 2309.14509): each process has a share of the
tokens, and in self-attention a share of the heads. Every process reads the same prompts, draws the
same noise and gets the same answer; only the transformer's blocks are split.
"""

from __future__ import annotations

import atexit
import os
from typing import Any

import torch
import torch.distributed as dist
from diffusers.hooks.context_parallel import apply_context_parallel
from diffusers.models._modeling_parallel import ContextParallelConfig, ParallelConfig
from torch.distributed.device_mesh import init_device_mesh

from chronosim.errors import InvalidConfig, InvalidFrame


def join_processes() -> None:
    """Joins the processes that torchrun started: over NCCL with a GPU each, else over gloo.

    Raises:
        InvalidConfig: torchrun did not start this process, or started it alone.
    """
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes < 2:
        raise InvalidConfig(
            "parallel needs several processes: start with torchrun --nproc-per-node 2 "
            "--no-python chronosim ..."
        )
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    if not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        atexit.register(_leave)


def share(transformer: Any, device: torch.device) -> None:
    """Splits a transformer's forwards among all processes, in place.

    What diffusers' `enable_parallelism` does, for a given device: that one asks PyTorch for its
    accelerator, and so fails on a CPU.

    Args:
        transformer: `ChronoEditTransformer3DModel`, the same weights in every process.
        device: Where it computes.

    Raises:
        InvalidConfig: Its heads cannot be split evenly.
    """
    processes, heads = dist.get_world_size(), transformer.config.num_attention_heads
    if heads % processes:
        fitting = [str(n) for n in range(2, heads + 1) if heads % n == 0]
        raise InvalidConfig(
            f"{heads} attention heads cannot be shared by {processes} processes: "
            f"start {' or '.join(fitting)}"
        )
    mesh = init_device_mesh(device.type, (1, processes), mesh_dim_names=("ring", "ulysses"))
    context = ContextParallelConfig(ulysses_degree=processes, mesh=mesh)
    config = ParallelConfig(context_parallel_config=context)
    config.setup(dist.get_rank(), processes, device, mesh=mesh)
    transformer._parallel_config = config
    for block in transformer.blocks:
        block.attn1.processor._parallel_config = config
    apply_context_parallel(transformer, context, transformer._cp_plan)


def check_shares(transformer: Any, tokens: int) -> None:
    """Checks that frames can be split.

    Args:
        transformer: Perhaps a shared one.
        tokens: Of one latent frame; there are two of these at least, and always an even number.

    Raises:
        InvalidFrame: They cannot be split evenly.
    """
    config = getattr(transformer, "_parallel_config", None)
    processes = 1 if config is None else int(config._world_size)
    if 2 * tokens % processes:
        raise InvalidFrame(
            f"the {2 * tokens} tokens of a frame and its outcome cannot be shared by {processes} "
            "processes: take another size, or start another number of processes"
        )


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()
