"""How a codebook is used: the health of a vector quantizer."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class CodebookUsage(NamedTuple):
    """The usage of one codebook, measured on `num_tokens` tokens.

    `used` is the fraction of the K codes that occurred at all, 0 to 1: with fewer tokens than a
    few times K it says more about the sample than about the book. `entropy` is in bits per token,
    0 to log2 K, of the codes' frequencies; `perplexity` = 2 ** entropy; `efficiency` = entropy /
    log2 K, 0 to 1.
    """

    num_tokens: int
    used: float
    perplexity: float
    entropy: float
    efficiency: float

    @classmethod
    def from_counts(cls, counts: Tensor) -> CodebookUsage:
        """counts [K]: how often each code occurred.

        >>> CodebookUsage.from_counts(torch.tensor([5, 5, 0, 0]))
        CodebookUsage(num_tokens=10, used=0.5, perplexity=2.0, entropy=1.0, efficiency=0.5)
        """
        num_tokens = int(counts.sum())
        frequencies = counts.double() / max(num_tokens, 1)
        entropy = float(torch.special.entr(frequencies).sum()) / math.log(2)
        size = len(counts)
        return cls(
            num_tokens=num_tokens,
            used=float((counts > 0).double().mean()),
            perplexity=2**entropy if num_tokens else 0.0,
            entropy=entropy,
            efficiency=entropy / math.log2(size) if size > 1 else 1.0,
        )


def count_codes(codes: Tensor, codebook_size: int) -> Tensor:
    """[...] int64 -> [K] int64: how often each code occurs; -1 stands for no code."""
    return torch.bincount(codes.flatten() + 1, minlength=codebook_size + 1)[1:]
