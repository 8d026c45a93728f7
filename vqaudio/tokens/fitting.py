"""Whether tokens are those of a model, and codes, and whether it has so many levels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vqaudio.errors import TokensError
from vqaudio.tokens.tokens import Tokens
from vqaudio.tokens.vqs import StreamReader


def check_model(
    tokens: Tokens | StreamReader,
    *,
    model: str,
    sample_rate: int,
    hop_length: int,
    codebook_sizes: Sequence[int],
) -> None:
    """Raises TokensError when another model than `model`, a fingerprint, made `tokens`."""
    if tokens.model != model:
        raise TokensError(
            f"the tokens were made by model {tokens.model}, this is model {model}: "
            "decode them with the model that made them"
        )
    # A file that was edited, or put together by hand: its codes may lie beyond the codebooks.
    sizes = tuple(codebook_sizes[: tokens.num_codebooks])
    facts = (tokens.sample_rate, tokens.hop_length, tokens.codebook_sizes)
    if facts != (sample_rate, hop_length, sizes):
        raise TokensError(
            f"the tokens name model {tokens.model} but have other rates or codebook sizes: "
            "tokenize the sound again"
        )


def check_levels(num_codebooks: int | None, available: int, *, least: int = 1) -> None:
    """Raises TokensError when a model has not so many, or needs more; None is all."""
    if num_codebooks is not None and not least <= num_codebooks <= available:
        allowed = (
            f"has 1 to {available}"
            if least < available
            else f"takes {available}, no more and no less"
        )
        raise TokensError(f"{num_codebooks} levels asked for, the model {allowed}")


def check_codes(codes: ArrayLike, codebook_sizes: Sequence[int]) -> NDArray[Any]:
    """`codes` as an array [Q, n], n >= 0; raises TokensError for what are no codes of the model."""
    array = np.asarray(codes)
    if array.ndim != 2 or array.dtype.kind not in "iu" or len(array) != len(codebook_sizes):
        raise TokensError(
            f"the stream takes integers of shape [{len(codebook_sizes)}, n], not {array.dtype} of "
            f"{list(array.shape)}"
        )
    sizes = np.array(codebook_sizes)[:, None]
    if ((array < 0) | (array >= sizes)).any():
        raise TokensError(
            f"codes from {array.min()} to {array.max()} do not fit codebooks of "
            f"{', '.join(map(str, codebook_sizes))}"
        )
    return array
