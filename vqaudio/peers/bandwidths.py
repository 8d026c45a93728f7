"""The bandwidths that EnCodec and its kin are trained at, in kbit/s, as numbers of codebooks."""

from __future__ import annotations

from typing import Any


def codebooks_of(config: Any) -> dict[float, int]:
    """Bandwidth -> codebooks, lowest first."""
    bits = config.codebook_nbits * config.frame_rate
    return {b: max(int(1000 * b // bits), 1) for b in sorted(config.target_bandwidths)}


def bandwidth_for(config: Any, num_codebooks: int) -> float:
    """The lowest with so many codebooks: the library takes nothing else."""
    return next(b for b, count in codebooks_of(config).items() if count >= num_codebooks)
