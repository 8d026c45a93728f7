"""Range coding with one fixed distribution for each level."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vqaudio.entropy.frequencies import Frequencies
from vqaudio.entropy.ranges import decoding, listed, payload_of, range_coder
from vqaudio.errors import TokensError

PRECISION = 24
"""Bits of a probability in constriction's range coder."""


class Static:
    """Codes level after level, coarse to fine, each by how often it occurs in general.

    The bytes are those of constriction's range coder with words of 32 bits, little-endian, and of
    probabilities in whole parts of 2**-24 (`parts`), which depend on no rounding.
    """

    name = "static"

    def __init__(self, frequencies: Frequencies) -> None:
        """Raises TokensError where the library constriction is not installed."""
        self._stream = range_coder()
        self.frequencies = frequencies
        self.fingerprint = frequencies.fingerprint
        self.model = frequencies.model

    @cached_property
    def _parts(self) -> list[NDArray[np.int64]]:
        return [parts(level) for level in self.frequencies.counts]

    @cached_property
    def _models(self) -> list[Any]:
        # Of weights that add up to 2**24 - K constriction makes each a part larger, without
        # rounding: a floating point number is never scaled, here or on another machine.
        return [
            self._stream.model.Categorical((level - 1).astype(np.float64), perfect=False)
            if len(level) > 1
            else None  # nothing to code
            for level in self._parts
        ]

    def encode(self, codes: NDArray[np.uint16], codebook_sizes: Sequence[int]) -> bytes:
        self._check(codebook_sizes)
        encoder = self._stream.queue.RangeEncoder()
        for level, model in zip(codes, self._models, strict=False):
            if model is not None:
                encoder.encode(level.astype(np.int32), model)
        return payload_of(encoder)

    def decode(
        self, payload: bytes, codebook_sizes: Sequence[int], num_frames: int
    ) -> NDArray[np.uint16]:
        self._check(codebook_sizes)
        num_levels = len(codebook_sizes)
        fewest = sum(PRECISION - math.log2(level.max()) for level in self._parts[:num_levels])
        with decoding(payload, num_frames, fewest_bits=num_frames * fewest) as decoder:
            codes = np.zeros((num_levels, num_frames), np.uint16)
            for level, model in zip(codes, self._models, strict=False):
                if model is not None:
                    level[:] = decoder.decode(model, num_frames)
        return codes

    def _check(self, codebook_sizes: Sequence[int]) -> None:
        known = self.frequencies.codebook_sizes
        if tuple(codebook_sizes) != known[: len(codebook_sizes)]:
            raise TokensError(
                f"codebooks of {listed(codebook_sizes)} are not those of the table, which are "
                f"{listed(known)}: count the codes of this tokenizer with vqaudio count"
            )


def parts(counts: NDArray[np.uint32]) -> NDArray[np.int64]:
    """[K] counts of codes -> [K] probabilities in parts of 2**-24, none of them zero.

    One is added to every count: a code that was never heard can be coded too. Sums up to 2**24.
    """
    edges = np.cumsum(counts.astype(np.int64) + 1)
    edges = edges * (2**PRECISION - len(counts)) // edges[-1]
    found: NDArray[np.int64] = np.diff(edges, prepend=0) + 1
    return found
