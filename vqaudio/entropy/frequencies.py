"""How often each code of a model occurs in speech: what a static coder goes by."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vqaudio import npz
from vqaudio.errors import TokensError
from vqaudio.files import atomic

FORMAT_VERSION = 1
MAX_TOKENS = 2**38
"""Of one level, so that products with 2**24 fit 64 bits: 170 years at 50 frames/s."""
MAX_BYTES = 2**26
"""Of a table: 255 codebooks of 65536."""


def count(
    codes: NDArray[np.uint16], codebook_sizes: Sequence[int]
) -> tuple[NDArray[np.int64], ...]:
    """[Q, T] -> for each level [K], how often each code occurs."""
    return tuple(
        np.bincount(level, minlength=size)
        for level, size in zip(codes, codebook_sizes, strict=True)
    )


@dataclass(frozen=True, eq=False)
class Frequencies:
    """Counts of codes, level by level."""

    counts: tuple[NDArray[np.uint32], ...]
    """[K] of each level, coarse to fine; zero for a code that did not occur."""
    model: str
    """Fingerprint of the tokenizer whose codes were counted."""

    def __post_init__(self) -> None:
        for level in self.counts:
            assert level.dtype == np.uint32
            if level.sum(dtype=np.int64) > MAX_TOKENS:
                raise TokensError(
                    f"{level.sum()} tokens of a level are too many: count less speech"
                )

    @classmethod
    def of(cls, counts: Sequence[NDArray[np.int64]], model: str) -> Frequencies:
        """From what `count` gave, added up; raises TokensError where a count exceeds 32 bits."""
        if max(int(level.max()) for level in counts) >= 2**32:
            raise TokensError("a code occurs more often than 2**32 times: count less speech")
        return cls(tuple(level.astype(np.uint32) for level in counts), model)

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        return tuple(len(level) for level in self.counts)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over model, codebook sizes and counts, 16 hexadecimal digits."""
        digest = hashlib.sha256(f"static 1 {self.model} {self.codebook_sizes}".encode())
        for level in self.counts:
            digest.update(level.astype("<u4").tobytes())
        return digest.hexdigest()[:16]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one .npz file; raises VqaudioError where it cannot be written."""
        header = {
            "format_version": FORMAT_VERSION,
            "model": self.model,
            "codebook_sizes": self.codebook_sizes,
            "fingerprint": self.fingerprint,
        }
        data = npz.pack(header, counts=np.concatenate(self.counts))
        with atomic(path) as temporary:
            temporary.write_bytes(data)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Frequencies:
        """Read what `save` wrote.

        Raises TokensError when the file is missing, damaged or something else.
        """
        try:
            header, arrays = npz.unpack(Path(path).read_bytes(), "counts", max_bytes=MAX_BYTES)
            version = header["format_version"]
            if version != FORMAT_VERSION:
                raise TokensError(
                    f"{path} is a table of format {version}, {FORMAT_VERSION} is read: count anew"
                )
            found = cls(_split(arrays["counts"], header["codebook_sizes"]), header["model"])
            if found.fingerprint != header["fingerprint"]:
                raise ValueError("another fingerprint")
        except TokensError:
            raise
        except OSError as error:
            raise TokensError(
                f"cannot read a table of frequencies from {path}: {error.strerror}"
            ) from None
        except Exception as error:
            # As for tokens: whatever bytes came.
            raise TokensError(
                f"{path} is no table of frequencies, or a damaged one ({type(error).__name__}): "
                "make one with vqaudio count"
            ) from error
        return found


def _split(counts: NDArray[Any], sizes: list[int]) -> tuple[NDArray[np.uint32], ...]:
    """[K1 + K2 + ...] as it is stored -> [K1], [K2], ..."""
    if counts.dtype != np.uint32 or counts.shape != (sum(sizes),) or min(sizes) < 1:
        raise ValueError(f"{counts.dtype} {counts.shape} for codebooks of {sizes}")
    return tuple(np.split(counts, np.cumsum(sizes)[:-1]))
