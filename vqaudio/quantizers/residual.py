"""Residual quantization: each codebook quantizes what the ones before it left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqaudio.quantizers.bridges import Bridge, straight_through
from vqaudio.quantizers.codebook import Codebook, flatten
from vqaudio.quantizers.ranks import one_collective


class ResidualQuantized(NamedTuple):
    """The answer of `ResidualQuantizer`; shapes [..., D] and [..., Q] as the input's."""

    latents: Tensor
    """[..., D] float32: the value is quantized, the gradient is the input's, by the bridge."""
    coarse: Tensor
    """[..., D]: the same of the first level alone."""
    codes: Tensor
    """[..., Q] int64; -1 where a level was not in use (dropout, not started, or masked)."""
    commitment: Tensor
    """Scalar: mean of the levels' commitment losses; each reaches the input."""
    codebook_loss: Tensor
    """Scalar: mean of the levels' codebook losses."""
    restarts: Tensor
    """[Q] int64: codes restarted in this step."""


class ResidualQuantizer(nn.Module):
    """Q codebooks in a row (Zeghidour et al. 2021, arXiv:2107.03312, algorithm 1).

    Level k starts `stagger` training steps after level k - 1, on what trained levels leave of a
    batch that did not place them; placed all on one batch, the later books would fit a residual
    that the earlier ones had learnt by heart.

    With probability `dropout` an item of the batch uses only its first n levels, n uniform over
    1 to Q, so that a shorter code is a valid code: one model, Q bitrates. Items without a level
    do not enter its statistics. An item is an index of the first dimension.

    `bridge` passes the gradient, once, from the sum of all levels to the input.
    """

    updates: Tensor

    def __init__(
        self,
        num_codebooks: int,
        make_codebook: Callable[[], nn.Module],
        *,
        dropout: float = 0.0,
        stagger: int = 20,
        bridge: Bridge = straight_through,
    ) -> None:
        super().__init__()
        self.codebooks = nn.ModuleList(make_codebook() for _ in range(num_codebooks))
        self.dropout = dropout
        self.stagger = stagger
        self.bridge = bridge
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    @property
    def books(self) -> Sequence[Codebook]:
        """The codebooks by their protocol."""
        return list(self.codebooks)  # type: ignore[arg-type]

    @property
    def num_codebooks(self) -> int:
        return len(self.codebooks)

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        return tuple(book.codebook_size for book in self.books)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> ResidualQuantized:
        """x [..., D], mask [...] bool, true where a vector counts."""
        x = x.float()
        levels = self._levels_per_item(x)
        left = x
        total = coarse = torch.zeros_like(x)
        codes, commitments, codebook_losses, restarts = [], [], [], []
        # The codebooks move when all levels have chosen, and all together.
        with one_collective():
            for level, book in enumerate(self.books):
                if not self._starts(level):
                    break
                keep = self._in_use(level, levels, mask, x.shape[:-1])
                answer = book(left, keep)
                # Without a gradient, but for codebooks with projections: those learn from what
                # the levels below them have left to do, as in DAC. What is left of an item that
                # stops here, or of padding, no level looks at.
                left = answer.left
                vectors = answer.vectors if keep is None else answer.vectors * keep[..., None]
                total += vectors
                coarse = vectors if level == 0 else coarse
                codes.append(answer.codes if keep is None else answer.codes.masked_fill(~keep, -1))
                commitments.append(answer.commitment)
                codebook_losses.append(answer.codebook_loss)
                restarts.append(answer.restarts)
        if self.training:
            self.updates += 1
        unused = self.num_codebooks - len(codes)
        return ResidualQuantized(
            latents=self.bridge(x, total),
            coarse=self.bridge(x, coarse),
            codes=F.pad(torch.stack(codes, dim=-1), (0, unused), value=-1),
            commitment=torch.stack(commitments).mean(),
            codebook_loss=torch.stack(codebook_losses).mean(),
            restarts=F.pad(torch.stack(restarts), (0, unused)),
        )

    def encode(self, x: Tensor, num_codebooks: int | None = None) -> Tensor:
        """[..., D] -> [..., n] int64: the codes of the first n levels (all when None).

        Never moves a codebook, in training mode neither.
        """
        return self.frozen_encode(num_codebooks)(x)

    def frozen_encode(self, num_codebooks: int | None = None) -> Callable[[Tensor], Tensor]:
        """`encode` with the codebooks as they are now, which have to stay."""
        levels = [(book.frozen_encode(), book.decode) for book in self.books[:num_codebooks]]

        def encode(x: Tensor) -> Tensor:
            residual, _ = flatten(x, None, self.books[0].dim)
            codes = []
            for quantize, decode in levels:
                codes.append(quantize(residual))
                residual = residual - decode(codes[-1])
            return torch.stack(codes, dim=-1).view(*x.shape[:-1], -1)

        return encode

    def decode(self, codes: Tensor) -> Tensor:
        """[..., n] -> [..., D]: the sum of the chosen vectors of the first n levels."""
        levels = zip(self.books, codes.unbind(dim=-1), strict=False)
        return torch.stack([book.decode(level) for book, level in levels]).sum(dim=0)

    def _drops(self) -> bool:
        return self.training and self.dropout > 0

    def _levels_per_item(self, x: Tensor) -> Tensor:
        """[B] int64: how many levels each item uses, 1 to Q."""
        everything = torch.full((len(x),), self.num_codebooks, device=x.device)
        if not self._drops():
            return everything
        shorter = torch.randint_like(everything, 1, self.num_codebooks + 1)
        return torch.where(torch.rand(len(x), device=x.device) < self.dropout, shorter, everything)

    def _in_use(
        self, level: int, levels: Tensor, mask: Tensor | None, shape: torch.Size
    ) -> Tensor | None:
        """[...] bool: the vectors that a level quantizes; None for all, which spares masking."""
        if not self._drops():
            return mask
        in_use = (levels > level).view(-1, *[1] * (len(shape) - 1)).expand(shape)
        return in_use if mask is None else in_use & mask

    def _starts(self, level: int) -> bool:
        """Whether a level is in use by now; in evaluation, whether it was ever placed."""
        if level == 0 or self.books[level].started:
            return True
        return self.training and int(self.updates) >= level * self.stagger
