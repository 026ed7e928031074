"""A bounded memory, and NaN named by the part that it comes from."""

from copy import deepcopy
from typing import Any

import pytest
import torch

from chronosim.errors import InvalidModel
from chronosim.models.engine.components import Components, Memo, demand_finite


def test_it_computes_once_and_forgets_what_was_asked_for_longest_ago() -> None:
    memo: Memo[int] = Memo(2)
    computed: list[str] = []

    def ask(key: str) -> int:
        def compute() -> int:
            computed.append(key)
            return len(computed)

        return memo.get(key, compute)

    assert [ask(key) for key in "aabacaab"] == [1, 1, 2, 1, 3, 1, 1, 4]
    assert computed == ["a", "b", "c", "b"]


@pytest.mark.parametrize(
    ("part", "weight", "sentence"),
    [
        ("text_encoder", "final_layer_norm.weight", "the text encoder answered NaN or infinity; 1"),
        ("image_encoder", "layers.0.layer_norm1.bias", "the image encoder answered .*; 1 of its"),
        ("transformer", "blocks.1.ffn.net.2.weight", "the transformer .* at denoising step 1 of 4"),
        ("vae", "encoder.conv_in.bias", "the autoencoder .* when it encoded the frame"),
        ("vae", "decoder.conv_in.bias", "the autoencoder .* when it decoded the outcome"),
    ],
)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_spoilt_weight_is_named_and_no_frame_is_made(
    part: str, weight: str, sentence: str, value: float, kit: Any, wide: Components
) -> None:
    network = deepcopy(getattr(wide, part))
    [(name, spoilt)] = [(n, w) for n, w in network.named_parameters() if n.endswith(weight)]
    with torch.no_grad():
        spoilt.flatten()[0] = value
    model = kit.model(kit.remake(wide, **{part: network}))
    with pytest.raises(InvalidModel, match=sentence) as error:
        model.predict([kit.prompt(1)])
    assert name in str(error.value)


def test_the_step_in_which_a_number_runs_over_is_named(
    kit: Any, wide: Components, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a weight to blame, and in a sampler with nothing to blame at all."""
    from chronosim.models.engine import chronoedit, denoising

    calls: list[int] = []
    forward = denoising.Velocity.__call__

    def overflow(self: Any, *given: Any) -> Any:
        calls.append(1)
        return forward(self, *given) * (float("inf") if len(calls) == 3 else 1.0)

    model = kit.model(kit.remake(wide))
    with monkeypatch.context() as patch:
        patch.setattr(denoising.Velocity, "__call__", overflow)
        with pytest.raises(InvalidModel, match="step 3 of 4; its weights are finite"):
            model.predict([kit.prompt(1)])
    assert len(calls) == 3  # no step more
    patched = denoising.Denoised(
        torch.full((1, 16, 2, 4, 4), float("nan")), torch.zeros(1, 16, 0, 4, 4)
    )
    monkeypatch.setattr(chronoedit, "denoise", lambda *_: patched)
    with pytest.raises(InvalidModel, match=r"the sampler .*denoising_steps and flow_shift"):
        model.predict([kit.prompt(1)])


def test_a_sum_that_runs_over_is_no_infinity() -> None:
    demand_finite(torch.full((3,), 3e38), "part", None)
    with pytest.raises(InvalidModel, match="the part answered"):
        demand_finite(torch.tensor([float("inf"), float("-inf"), 0.0]), "part", None)


@pytest.mark.parametrize(
    ("name", "values", "sentence"),
    [
        ("latents_mean", [float("nan")] * 16, "16 finite numbers, not .nan"),
        ("latents_std", [1.0] * 15 + [0.0], "16 finite numbers above 0, not"),
        ("latents_std", [1.0] * 4, "16 finite numbers above 0, not"),
    ],
)
def test_a_config_that_would_make_nan_is_refused(
    name: str, values: list[float], sentence: str, kit: Any, wide: Components
) -> None:
    vae = deepcopy(wide.vae)
    vae.register_to_config(**{name: values})
    with pytest.raises(InvalidModel, match=f"the autoencoder's {name} must be {sentence}"):
        kit.remake(wide, vae=vae)
