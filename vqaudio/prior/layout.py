"""Where the codes of a sound lie in a pattern's sequence, told by the pattern itself."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vqaudio.patterns import Vocabulary, arrange

NO_CODE = -1


class Layout(NamedTuple):
    """A sequence of T frames before its codes are known."""

    ids: NDArray[np.int32]
    """[R, L]: begin, end, pad and marks; where a code goes, code 0 of its level."""
    levels: NDArray[np.int64]
    """[R, L]: of the code at each place, NO_CODE elsewhere."""
    frames: NDArray[np.int64]
    """[R, L]: of the code at each place, NO_CODE elsewhere."""

    @property
    def num_columns(self) -> int:
        """L."""
        return int(self.ids.shape[1])

    def fill(self, codes: ArrayLike) -> NDArray[np.int32]:
        """`ids` with the codes [Q, T] in their places."""
        is_code = self.levels != NO_CODE
        filled = self.ids.copy()
        filled[is_code] += np.asarray(codes)[self.levels[is_code], self.frames[is_code]]
        return filled


def layout_of(pattern: str, codebook_sizes: tuple[int, ...], num_frames: int) -> Layout:
    """The layout of `num_frames` frames, 0 or more, in one of PATTERNS.

    >>> layout_of("delay", (4, 2), 2).levels
    array([[-1,  0,  0, -1, -1],
           [-1, -1,  1,  1, -1]])
    """
    vocabulary = Vocabulary(codebook_sizes)
    nothing = np.zeros((len(codebook_sizes), num_frames), np.uint16)
    ids = arrange(nothing, codebook_sizes, pattern)
    # The first code of a level is where the level begins in the vocabulary.
    levels = np.searchsorted(vocabulary.offsets, ids, side="right") - 1
    frames = np.full_like(levels, NO_CODE)
    for level in range(len(codebook_sizes)):
        # No pattern holds a level's frames in another order than that of time.
        frames[levels == level] = np.arange(num_frames)
    return Layout(ids, levels, frames)


def stop_column(pattern: str, codebook_sizes: tuple[int, ...], num_frames: int) -> int:
    """The column that would hold the first level of frame `num_frames` if the sound went on.

    There a model that goes on by itself has to say that the sound is over.

    >>> [stop_column(name, (4, 2), 2) for name in ("parallel", "delay", "flatten", "coarse-first")]
    [3, 3, 5, 4]
    """
    longer = layout_of(pattern, codebook_sizes, num_frames + 1)
    return int(np.argwhere((longer.levels == 0) & (longer.frames == num_frames))[0, 1])
