"""A long sequence cut into overlapping pieces, so that memory stays constant.

The pieces lie on a grid that depends on the sequence's length alone. However the sequence arrives,
whole, in blocks of a file or with others in a batch, the same pieces are computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Piece(NamedTuple):
    """Part of a sequence with the context that it needs."""

    data: NDArray[np.generic]
    """[C, n]."""
    skip: int
    """Frames at the start that are context only."""
    keep: int
    """Frames that are wanted, after those; what follows is context again."""


def cut(
    blocks: Iterable[NDArray[np.generic]], *, hop: int, frames: int, left: int, right: int
) -> Iterator[Piece]:
    """[C, n_1], [C, n_2]... -> pieces of `frames` frames with up to `left` and `right` beside them.

    The blocks hold one step or more in all, and are taken no further than the next piece needs. A
    frame is `hop` steps of the sequence. The last piece also takes what would make a piece of
    nothing but its predecessor's right context, and its last frame may be incomplete.

    >>> [(p.skip, p.keep) for p in cut([np.zeros((1, 25))], hop=2, frames=5, left=1, right=2)]
    [(0, 5), (1, 5), (1, 3)]
    """
    parts: list[NDArray[np.generic]] = []
    held = 0  # steps in `parts`
    skip = 0  # frames before the first wanted one
    for block in blocks:
        parts.append(block)
        held += block.shape[1]
        while held > (size := (skip + frames + right) * hop):
            data = np.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]
            yield Piece(data[:, :size], skip, frames)
            done = max(skip + frames - left, 0) * hop
            parts, held = [data[:, done:]], held - done
            skip = min(left, skip + frames)
    data = np.concatenate(parts, axis=1)
    yield Piece(data, skip, -(-held // hop) - skip)


def whole(blocks: Iterable[NDArray[np.generic]], *, hop: int) -> Iterator[Piece]:
    """[C, n_1], [C, n_2]... -> one piece, for what cannot be cut; memory grows with it.

    >>> [(p.skip, p.keep) for p in whole([np.zeros((1, 25))], hop=2)]
    [(0, 13)]
    """
    data = np.concatenate(list(blocks), axis=1)
    yield Piece(data, 0, -(-data.shape[1] // hop))
