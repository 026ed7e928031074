"""Heads that point at the place that words name: what they are asked, and that they learn it."""

from typing import Any

import pytest
import torch

from chronosim.training.pipeline import new_world
from chronosim.training.pointing import Pointing, named_places
from chronosim.training.words import new_tokenizer


def test_places_are_read_off_words() -> None:
    places = named_places(["Go to x=55% y=40%.", "Stop.", "x=0% y=100%, then to x=1% y=2%"])
    torch.testing.assert_close(
        places,
        torch.tensor([[0.55, 0.4], [torch.nan, torch.nan], [0.0, 1.0]]),
        equal_nan=True,
    )


@pytest.fixture
def pointing(networks: dict[str, dict[str, Any]]) -> Pointing:
    return Pointing(new_world(networks, new_tokenizer(["go"])).transformer)


def width_of(pointing: Pointing) -> int:
    return next(pointing.parameters()).shape[1]


def test_a_place_lies_in_the_token_that_shows_it(pointing: Pointing) -> None:
    width = width_of(pointing)
    tokens = torch.zeros(1, 3 + 2 * 4, width)  # three tokens before an outcome of 2 x 4
    tokens[0, 3 + 6, 0] = 1.0  # the second row, the third column
    with torch.no_grad():
        for head in pointing.heads:
            next(head.parameters())[:, 0] = 50.0
    seen = [tokens] * len(pointing.heads)
    there, beside, above = (
        pointing.error(seen, torch.tensor([[x, y]]), (2, 4)).item()
        for x, y in ((0.625, 0.75), (0.375, 0.75), (0.625, 0.25))
    )
    assert there < 0.1 * min(beside, above)


def test_heads_learn_to_point_and_leave_unnamed_places_alone(pointing: Pointing) -> None:
    torch.manual_seed(0)
    width, optimizer = width_of(pointing), torch.optim.Adam(pointing.parameters(), 0.05)
    code = torch.randn(4, width)
    places = torch.tensor([[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [torch.nan, torch.nan]])

    def error() -> torch.Tensor:
        where = torch.eye(4)[:, :, None]  # each row marks another of four tokens
        return pointing.error([code * where], places, (2, 2))

    pointing.heads = pointing.heads[:1]
    before = error().item()
    for _ in range(60):
        optimizer.zero_grad()
        error().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert error().item() < 0.2 * before
    assert pointing.error([code[None]], places[3:], (2, 2)) == 0


def test_blocks_are_watched_only_while_asked(networks: dict[str, dict[str, Any]]) -> None:
    world = new_world(networks, new_tokenizer(["go"]))
    pointing = Pointing(world.transformer)
    with pointing.watch():
        pass
    assert not any(block._forward_hooks for block in world.transformer.blocks)
    assert not any("blocks" in name for name, _ in pointing.named_parameters())
