"""The components that diffusers' own ChronoEdit tests are written with, against its pipeline.

They are another shape than the published one: T5 for the text, Euler with a shift of its own, and a
transformer without keys for frames, which attends to them among the words.
"""

import os
import re
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
import transformers

from chronosim.errors import InvalidConfig
from chronosim.models.engine.components import Components
from chronosim.models.loading.load import load
from chronosim.models.loading.plan import plan_model
from chronosim.types import EditPrompt

hf_diffusers: Any = diffusers
hf_transformers: Any = transformers
WORDS = "The quick brown fox jumps"


@pytest.fixture(scope="module")
def dummy(kit: Any) -> Components:
    torch.manual_seed(0)
    tokenizer = kit.tokenizer()
    text = hf_transformers.T5Config(
        vocab_size=len(tokenizer), d_model=32, d_ff=37, d_kv=8, num_layers=2, num_heads=4
    )
    vision = hf_transformers.CLIPVisionConfig(
        hidden_size=4,
        projection_dim=4,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=32,
        intermediate_size=16,
        patch_size=1,
    )
    size = {"height": 32, "width": 32}
    return Components(
        tokenizer=tokenizer,
        text_encoder=hf_transformers.T5EncoderModel(text).eval(),
        image_processor=hf_transformers.CLIPImageProcessorPil(crop_size=size, size=size),
        image_encoder=hf_transformers.CLIPVisionModelWithProjection(vision).eval(),
        transformer=kit.transformer(text_dim=32, freq_dim=256, image_dim=4, added_kv_proj_dim=None),
        vae=hf_diffusers.AutoencoderKLWan(
            base_dim=3,
            z_dim=16,
            dim_mult=[1, 1, 1, 1],
            num_res_blocks=1,
            temperal_downsample=[False, True, True],
        ).eval(),
        scheduler=hf_diffusers.FlowMatchEulerDiscreteScheduler(shift=7.0),
    )


@pytest.fixture
def own(dummy: Components, tmp_path: Path) -> Path:
    """The folder that their pipeline saves."""
    hf_diffusers.ChronoEditPipeline(
        dummy.tokenizer,
        dummy.text_encoder,
        dummy.image_encoder,
        dummy.image_processor,
        dummy.transformer,
        dummy.vae,
        dummy.scheduler,
    ).save_pretrained(tmp_path / "own")
    return tmp_path / "own"


@pytest.mark.parametrize("guidance", [1.0, 6.0])
def test_a_folder_gives_what_their_pipeline_gives(
    guidance: float, kit: Any, dummy: Components, own: Path
) -> None:
    model = load(own, denoising_steps=2, guidance=guidance)
    assert (model.sampling.scheduler, model.sampling.flow_shift) == ("euler", 7.0)
    prompt = EditPrompt(kit.frame(2), WORDS, 0)
    ours = model.latents([prompt])[0]
    theirs = kit.stock(dummy, dummy.scheduler, prompt, model.sampling, "latent")[0]
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)
    # Else the frame might be left out on both sides.
    blank = EditPrompt(kit.frame(2) // 2, WORDS, 0)
    model.components.conditions.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "chronosim.models.engine.chronoedit.encode_condition",
            lambda parts, _, time: _condition(parts, prompt, time),
        )
        assert (model.latents([blank])[0] - ours).abs().max() > 1e-3


def _condition(parts: Components, prompt: EditPrompt, time: int) -> Any:
    from chronosim.models.engine.encoding import encode_condition

    return encode_condition(parts, prompt.frame, time)


@pytest.mark.parametrize("reasoning_steps", [1, "all"])
def test_reasoning_and_batches_work_on_these_components_too(
    reasoning_steps: int | str, kit: Any, dummy: Components
) -> None:
    unipc = hf_diffusers.UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0
    )
    parts = kit.remake(dummy, scheduler=unipc)
    model = kit.model(parts, denoising_steps=3, reasoning_steps=reasoning_steps, micro_batch=2)
    prompts = [EditPrompt(kit.frame(seed), text, seed) for seed, text in enumerate((WORDS, ""))]
    for ours, prompt in zip(model.latents(prompts), prompts, strict=True):
        stock = kit.stock(parts, deepcopy(unipc), prompt, model.sampling, "latent")[0]
        torch.testing.assert_close(ours, stock, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("config", "own_settings", "sentence"),
    [
        ({"shift": 7.0}, ("euler", 7.0), "scheduler=euler flow_shift=7.0 samples so, scheduler=un"),
        ({"stochastic_sampling": True}, None, "does not sample by: scheduler=unipc as"),
        ({"use_dynamic_shifting": True}, None, "does not sample by: scheduler=unipc as"),
        ("UniPCMultistepScheduler", None, "does not sample by: scheduler=unipc"),
        ("DPMSolverMultistepScheduler", None, "describes a DPMSolverMultistepScheduler"),
    ],
)
def test_a_folders_scheduler_is_its_own_or_is_refused(
    config: Any, own_settings: Any, sentence: str, folder: Path
) -> None:
    kind = getattr(hf_diffusers, config if isinstance(config, str) else _EULER)
    kind(**(config if isinstance(config, dict) else {})).save_pretrained(folder / "scheduler")
    if own_settings is None:
        with pytest.raises(InvalidConfig, match=sentence):
            plan_model(folder)
    else:
        sampling = plan_model(folder).sampling
        assert (sampling.scheduler, sampling.flow_shift) == own_settings
    with pytest.raises(InvalidConfig, match=sentence):
        plan_model(folder, preset="chronoedit-14b-turbo")
    asked = plan_model(folder, preset="chronoedit-14b-turbo", scheduler="unipc").sampling
    assert (asked.scheduler, asked.flow_shift) == ("unipc", 2.0)


_EULER = "FlowMatchEulerDiscreteScheduler"


def test_a_folders_shift_is_its_own_but_for_a_named_preset(folder: Path) -> None:
    flow = {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": 3.0}
    hf_diffusers.UniPCMultistepScheduler(**flow).save_pretrained(folder / "scheduler")
    assert plan_model(folder).sampling.flow_shift == 3.0
    assert plan_model(folder, flow_shift=4.0).sampling.flow_shift == 4.0
    assert plan_model(folder, preset="chronoedit-14b").sampling.flow_shift == 5.0


CHECKOUT = os.environ.get("CHRONOSIM_DIFFUSERS")


@pytest.mark.diffusers
@pytest.mark.skipif(CHECKOUT is None, reason="CHRONOSIM_DIFFUSERS names no checkout of diffusers")
def test_diffusers_own_tests_pass_on_our_engine() -> None:
    """Theirs of the pipeline and the transformer; what cannot apply: diffusers_on_engine.py."""
    here = Path(__file__).parent
    theirs = "tests/models/transformers/test_models_transformer_chronoedit.py"
    settings = ["-q", "-p", "diffusers_on_engine", "-p", "no:xdist"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *settings, "tests/pipelines/chronoedit", theirs],
        cwd=str(CHECKOUT),
        env=os.environ | {"PYTHONPATH": f"{here.parents[2]}{os.pathsep}{here}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-3000:]
    [passed] = re.findall(r"(\d+) passed", run.stdout)
    assert int(passed) >= 30
