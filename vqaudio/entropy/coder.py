"""What every coder of codes can do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

CODERS = ("packed", "static", "prior")
"""By their numbers in files: new ones come last."""


class Coder(Protocol):
    """Turns codes into bytes without loss.

    Both sides must have the same coder: it is found again by name and fingerprint.
    """

    @property
    def name(self) -> str:
        """One of CODERS."""

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of all that has a say in the bytes; empty where nothing has."""

    @property
    def model(self) -> str:
        """Fingerprint of the tokenizer whose codes it is for; empty for any."""

    def encode(self, codes: NDArray[np.uint16], codebook_sizes: Sequence[int]) -> bytes:
        """uint16 [Q, T], row q below codebook_sizes[q] -> the payload of a file.

        Raises TokensError for codebooks that the coder does not know.
        """

    def decode(
        self, payload: bytes, codebook_sizes: Sequence[int], num_frames: int
    ) -> NDArray[np.uint16]:
        """What was encoded -> uint16 [Q, num_frames].

        Takes no more memory than so many codes that `payload` can hold. Raises TokensError for
        bytes that `encode` does not make.
        """
