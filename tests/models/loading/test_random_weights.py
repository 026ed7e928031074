"""The shape of the 14B model, as far as it can be had without a GPU."""

import re
from collections import Counter

import pytest
import torch

from chronosim.errors import InvalidConfig
from chronosim.models.loading.architecture import CHRONOEDIT_14B
from chronosim.models.loading.random_weights import make_14b_shape, make_networks


def needed(rows: int) -> int:
    with pytest.raises(InvalidConfig, match="shape=true14b needs a GPU") as raised:
        make_14b_shape(torch.device("cpu"), (480, 832), rows)
    [gib] = re.findall(r"about (\d+) GiB", str(raised.value))
    return int(gib)


def test_memory_is_reckoned_in_bfloat16_and_for_all_rows() -> None:
    assert needed(1) < 60  # in float32 the weights alone take over 80
    assert needed(32) > needed(1) + 10


def test_the_networks_are_made_to_decode_rows_one_by_one() -> None:
    networks = make_networks(torch.device("meta"))
    assert networks["vae"].use_slicing
    assert networks["transformer"].dtype == torch.bfloat16
    for part, count in CHRONOEDIT_14B.parameters.items():
        assert sum(weight.numel() for weight in networks[part].parameters()) == count
    sizes = Counter(weight.numel() for weight in networks["text_encoder"].parameters())
    assert sizes == CHRONOEDIT_14B.text
    blocks = Counter(weight.numel() for weight in networks["transformer"].blocks[0].parameters())
    assert blocks == CHRONOEDIT_14B.block
