"""One vocabulary for the codes of all codebooks, and for the marks around them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vqaudio.errors import TokensError


@dataclass(frozen=True)
class Vocabulary:
    """Ids 0 to `size` - 1: pad, begin, end, a mark for each level, then level after level of codes.

    >>> vocabulary = Vocabulary((4, 2))
    >>> vocabulary.marks, vocabulary.offsets, vocabulary.size
    ((3, 4), (5, 9), 11)
    >>> vocabulary.names()
    ['<audio_pad>', '<audio>', '</audio>', '<a0>', '<a1>', '<a0_0>', '<a0_1>', '<a0_2>', '<a0_3>', '<a1_0>', '<a1_1>']
    """  # noqa: E501

    codebook_sizes: tuple[int, ...]

    pad = 0
    """Stands where a row has no code."""
    begin = 1
    end = 2

    @property
    def marks(self) -> tuple[int, ...]:
        """For each level the id that announces its codes."""
        return tuple(range(3, 3 + len(self.codebook_sizes)))

    @property
    def offsets(self) -> tuple[int, ...]:
        """For each level the id of its code 0."""
        ends = accumulate(self.codebook_sizes, initial=3 + len(self.codebook_sizes))
        return tuple(ends)[:-1]

    @property
    def size(self) -> int:
        return 3 + len(self.codebook_sizes) + sum(self.codebook_sizes)

    def to_ids(self, codes: NDArray[np.integer[Any]]) -> NDArray[np.int32]:
        """Codes [Q, T] -> ids [Q, T]."""
        offsets = np.array(self.offsets, np.int32)
        return codes.astype(np.int32) + offsets[: len(codes), None]

    def to_codes(self, ids: ArrayLike) -> NDArray[np.uint16]:
        """Ids [Q, T], row q of level q -> codes [Q, T].

        Raises TokensError for an id that is no code of its level.
        """
        given = np.asarray(ids)
        codes: NDArray[np.int64] = (
            given.astype(np.int64) - np.array(self.offsets)[: len(given), None]
        )
        wrong = (codes < 0) | (codes >= np.array(self.codebook_sizes)[: len(given), None])
        if wrong.any():
            level, frame = np.argwhere(wrong)[0].tolist()
            raise TokensError(
                f"id {given[level, frame]} is no code of level {level + 1}, which has ids from "
                f"{self.offsets[level]} on: the pattern or the codebook sizes are others"
            )
        return codes.astype(np.uint16)

    def names(self) -> list[str]:
        """For each id the name that it has in a text tokenizer."""
        levels = range(len(self.codebook_sizes))
        return [
            # Not "<pad>" and "<s>", which text tokenizers have already.
            *("<audio_pad>", "<audio>", "</audio>"),
            *(f"<a{level}>" for level in levels),
            *(f"<a{q}_{code}>" for q in levels for code in range(self.codebook_sizes[q])),
        ]

    def facts(self) -> dict[str, Any]:
        """Plain values, for the header of a file."""
        return {
            "size": self.size,
            "pad": self.pad,
            "begin": self.begin,
            "end": self.end,
            "marks": list(self.marks),
            "offsets": list(self.offsets),
        }
