"""A second task that teaches a transformer what words of places mean: to point at them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from diffusers import ChronoEditTransformer3DModel
from jaxtyping import Float
from torch import Tensor, nn

_NAMED = re.compile(r"\bx=(\d+)% y=(\d+)%")
_CELLS = 4  # along a token's side
_BLUR = 0.8  # cells: what counts as the place


def named_places(texts: Iterable[str]) -> Float[Tensor, "n 2"]:
    """The place in the frame that each text names as "x=55% y=40%", in shares of its size.

    Args:
        texts: What is said; of several places the first one counts.

    Returns:
        From the left and from the top, 0 to 1; NaN for a text that names none.
    """
    found = [_NAMED.search(text) for text in texts]
    places = [(int(one[1]), int(one[2])) if one else (torch.nan, torch.nan) for one in found]
    return torch.tensor(places, dtype=torch.float32).reshape(-1, 2) / 100


class Pointing(nn.Module):
    """Heads on the middle of a transformer that tell which place the words name.

    They read the outcome's tokens and are linear.

    Painting a thing where words send it begins with finding that place, but the error of what is
    painted says little about it as long as it is wrong. These heads are told outright. They are
    left behind when the training ends.

    Args:
        transformer: Whose blocks are read, from a quarter of its depth to the half.
    """

    def __init__(self, transformer: ChronoEditTransformer3DModel) -> None:
        super().__init__()
        blocks: list[nn.Module] = list(transformer.blocks)
        # In a tuple: they are the transformer's, not ours to save.
        self._read = tuple(blocks[len(blocks) // 4 : len(blocks) // 2 + 1])
        config = transformer.config
        width = config.num_attention_heads * config.attention_head_dim
        self.heads = nn.ModuleList(nn.Linear(width, _CELLS**2) for _ in self._read)
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    @contextmanager
    def watch(self) -> Iterator[list[Float[Tensor, "batch tokens width"]]]:
        """Collects what the blocks give in a pass within this context."""
        seen: list[Tensor] = []
        hooks = [
            block.register_forward_hook(lambda _block, _inputs, given: seen.append(given))
            for block in self._read
        ]
        try:
            yield seen
        finally:
            for hook in hooks:
                hook.remove()

    def error(
        self,
        seen: Sequence[Float[Tensor, "batch tokens width"]],
        places: Float[Tensor, "batch 2"],
        grid: tuple[int, int],
    ) -> Float[Tensor, ""]:
        """How far the heads are from the places, in nats: 0 where they cannot be told better.

        Args:
            seen: What `watch` collected.
            places: As `named_places` gives them.
            grid: Rows and columns of the outcome's tokens, the last ones of all.
        """
        named = ~places.isnan().any(1)
        if not named.any():
            return torch.zeros(())
        wanted = _map(places[named], grid)
        errors = []
        for head, tokens in zip(self.heads, seen, strict=True):
            outcome = tokens[named, -grid[0] * grid[1] :].float()
            cells = head(outcome).unflatten(2, (_CELLS, _CELLS)).unflatten(1, grid)
            guess = cells.transpose(2, 3).flatten(1).log_softmax(1)
            errors.append((wanted * (wanted.clamp_min(1e-12).log() - guess)).sum(1).mean())
        return torch.stack(errors).sum()


def _map(places: Float[Tensor, "n 2"], grid: tuple[int, int]) -> Float[Tensor, "n cells"]:
    """A soft spot at each place, on all cells from left to right and from the top down."""
    rows, columns = (_spot(places[:, axis], _CELLS * grid[1 - axis]) for axis in (1, 0))
    spots = (rows[:, :, None] * columns[:, None, :]).flatten(1)
    return spots / spots.sum(1, keepdim=True)


def _spot(place: Float[Tensor, " n"], cells: int) -> Float[Tensor, "n {cells}"]:
    away = torch.arange(cells) + 0.5 - cells * place[:, None]
    return (-away.square() / (2 * _BLUR**2)).exp()
