"""The header of an export: what it takes to go from what is stored back to sound."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vqaudio.errors import TokensError
from vqaudio.patterns import Vocabulary, arrange, find_pattern, restore

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Header:
    """What all rows of an export share. Raises TokensError for an unknown pattern."""

    model: str
    """Fingerprint of the model that made the codes."""
    sample_rate: int
    """Hz, of the model."""
    hop_length: int
    """Samples per frame."""
    codebook_sizes: tuple[int, ...]
    """Codes per codebook, coarse to fine."""
    pattern: str | None = None
    """How codes are stored: None as they are, or one of `vqaudio.patterns.PATTERNS`."""

    def __post_init__(self) -> None:
        if self.pattern is not None:
            find_pattern(self.pattern)

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop_length

    @property
    def bitrate(self) -> float:
        """bit/s, codes stored plainly."""
        return self.frame_rate * sum(math.log2(size) for size in self.codebook_sizes)

    @property
    def vocabulary(self) -> Vocabulary:
        """Of the ids, where there is a pattern."""
        return Vocabulary(self.codebook_sizes)

    @property
    def column(self) -> str:
        """What is stored: plain "codes", or "ids" of a pattern."""
        return "codes" if self.pattern is None else "ids"

    @property
    def num_rows(self) -> int:
        """Of what is stored for one recording: Q, or R of the pattern."""
        if self.pattern is None:
            return len(self.codebook_sizes)
        return find_pattern(self.pattern).num_rows(len(self.codebook_sizes))

    @property
    def is_flat(self) -> bool:
        """Whether each recording is one row of ids, stored as [L]."""
        return self.pattern is not None and find_pattern(self.pattern).one_row

    def to_column(self, codes: NDArray[np.uint16]) -> NDArray[Any]:
        """Codes [Q, T] -> what is stored: uint16 [Q, T], int32 [R, L], or int32 [L] of one row."""
        if self.pattern is None:
            return codes
        ids = arrange(codes, self.codebook_sizes, self.pattern)
        return ids[0] if self.is_flat else ids

    def from_column(self, stored: ArrayLike) -> NDArray[np.uint16]:
        """What `to_column` was given, from what it gave.

        Raises TokensError for anything else.
        """
        if self.pattern is not None:
            return restore(stored, self.codebook_sizes, self.pattern)
        codes = np.asarray(stored)
        if codes.dtype.kind not in "iu" or codes.size == 0 or not 0 <= codes.min() <= codes.max():
            raise TokensError(f"{codes.dtype} of shape {list(codes.shape)} are no codes")
        if codes.max() >= 2**16:
            raise TokensError(f"a code of {codes.max()} does not fit 16 bits")
        return codes.astype(np.uint16)

    def facts(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        facts: dict[str, Any] = {
            "format_version": FORMAT_VERSION,
            "model": self.model,
            "sample_rate": self.sample_rate,
            "hop_length": self.hop_length,
            "frame_rate": self.frame_rate,
            "codebook_sizes": list(self.codebook_sizes),
            "bitrate": self.bitrate,
            "pattern": self.pattern,
        }
        if self.pattern is not None:
            facts["vocabulary"] = self.vocabulary.facts()
        return facts

    @classmethod
    def from_facts(cls, facts: Any) -> Header:
        """Raises TokensError for what are no facts of a header, or of another version."""
        try:
            version = facts["format_version"]
            if version != FORMAT_VERSION:
                raise TokensError(f"export format {version} came, {FORMAT_VERSION} is read")
            header = cls(
                model=str(facts["model"]),
                sample_rate=int(facts["sample_rate"]),
                hop_length=int(facts["hop_length"]),
                codebook_sizes=tuple(map(int, facts["codebook_sizes"])),
                pattern=facts["pattern"],
            )
        except (KeyError, TypeError, ValueError):
            raise TokensError("there is no header of vqaudio in it") from None
        if header.pattern is not None and facts.get("vocabulary") != header.vocabulary.facts():
            raise TokensError("its ids are of another vocabulary than the codebook sizes make")
        return header
