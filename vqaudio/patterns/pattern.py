"""Patterns: codes [Q, T] as the sequences of ids that a language model is trained on, and back.

With two levels a and b, three frames, B begin, E end, . pad, A and B' the marks of the levels:

    parallel      B a1 a2 a3 E         a column a frame
                  B b1 b2 b3 E
    delay         B a1 a2 a3 .  E      level q comes q columns later, so that a column depends on
                  B .  b1 b2 b3 E      none of itself (MusicGen, arXiv 2306.05284, section 2.1)
    flatten       B a1 b1 a2 b2 a3 b3 E            frame after frame
    coarse-first  B A a1 a2 a3 B' b1 b2 b3 E       level after level

Ids are those of `Vocabulary`; a column of begin and one of end belong to every sequence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vqaudio.errors import TokensError
from vqaudio.patterns.vocabulary import Vocabulary

Ids = NDArray[np.int32]
Codes = NDArray[np.uint16]


class Pattern(NamedTuple):
    """How the codes of Q levels and T frames lie in R rows and L columns, between begin and end."""

    one_row: bool
    """R is 1, or else Q."""
    apply: Callable[[Ids, Vocabulary], Ids]
    """Ids of codes [Q, T] -> [R, L]."""
    invert: Callable[[Ids, int], Ids]
    """[R, L], Q -> ids [Q, T]; what is no code may be anything."""

    def num_rows(self, num_codebooks: int) -> int:
        """R."""
        return 1 if self.one_row else num_codebooks


def arrange(codes: ArrayLike, codebook_sizes: Sequence[int], pattern: str) -> Ids:
    """Codes [Q, T] -> ids [R, L] of one of PATTERNS, begin and end included.

    Raises TokensError for an unknown pattern, and for codes that do not fit the codebooks.
    """
    vocabulary = Vocabulary(tuple(codebook_sizes))
    given = np.asarray(codes)
    if given.ndim != 2 or len(given) != len(vocabulary.codebook_sizes):
        raise TokensError(
            f"codes of shape {list(given.shape)} do not fit {len(codebook_sizes)} codebooks: they "
            "are [Q, T]"
        )
    if given.dtype.kind not in "iu":
        raise TokensError(f"codes of {given.dtype} came: they are integers")
    ids = vocabulary.to_ids(given)
    if not np.array_equal(vocabulary.to_codes(ids), given):  # which finds those of another level
        raise TokensError("codes beyond 16 bits came: they are of no codebook")
    body = find_pattern(pattern).apply(ids, vocabulary)
    return _framed(body, vocabulary)


def restore(ids: ArrayLike, codebook_sizes: Sequence[int], pattern: str) -> Codes:
    """What `arrange` was given, from what it gave: ids [R, L] or, of one row, [L] -> codes [Q, T].

    Raises TokensError for ids that `arrange` gives for no codes.
    """
    vocabulary = Vocabulary(tuple(codebook_sizes))
    found = find_pattern(pattern)
    num_codebooks = len(vocabulary.codebook_sizes)
    rows = found.num_rows(num_codebooks)
    given = np.atleast_2d(np.asarray(ids))
    if given.ndim != 2 or len(given) != rows or given.shape[1] < 2 or given.dtype.kind not in "iu":
        raise TokensError(
            f"ids of shape {list(given.shape)} are no {pattern} sequence of {num_codebooks} levels"
        )
    body = given[:, 1:-1].astype(np.int32)
    try:
        restored = found.invert(body, num_codebooks)
    except ValueError:  # of a reshape: the length fits no number of frames
        raise TokensError(
            f"{given.shape[1]} ids are no {pattern} sequence of {num_codebooks} levels: it was cut"
        ) from None
    codes = vocabulary.to_codes(restored)
    if not np.array_equal(_framed(found.apply(restored, vocabulary), vocabulary), given):
        raise TokensError(f"the ids have other marks than a {pattern} sequence: it was changed")
    return codes


def find_pattern(name: str) -> Pattern:
    """One of PATTERNS by its name. Raises TokensError for another."""
    try:
        return PATTERNS[name]
    except KeyError:
        raise TokensError(f"no pattern {name!r}: choose from {', '.join(PATTERNS)}") from None


def _framed(body: Ids, vocabulary: Vocabulary) -> Ids:
    return np.pad(
        body, ((0, 0), (1, 1)), constant_values=((0, 0), (vocabulary.begin, vocabulary.end))
    )


def _delay(ids: Ids, vocabulary: Vocabulary) -> Ids:
    num_codebooks, num_frames = ids.shape
    delayed = np.full((num_codebooks, num_frames + num_codebooks - 1), vocabulary.pad, np.int32)
    for level, row in enumerate(ids):
        delayed[level, level : level + num_frames] = row
    return delayed


def _undelay(delayed: Ids, num_codebooks: int) -> Ids:
    num_frames = max(delayed.shape[1] - num_codebooks + 1, 0)
    return np.stack([row[level : level + num_frames] for level, row in enumerate(delayed)])


def _levels_after_marks(ids: Ids, vocabulary: Vocabulary) -> Ids:
    marks = np.array(vocabulary.marks, np.int32)[: len(ids), None]
    return np.concatenate([marks, ids], axis=1).reshape(1, -1)


def _same(ids: Ids, _: Any) -> Ids:
    return ids


PATTERNS = {
    "parallel": Pattern(one_row=False, apply=_same, invert=_same),
    "delay": Pattern(one_row=False, apply=_delay, invert=_undelay),
    "flatten": Pattern(
        one_row=True,
        apply=lambda ids, _: ids.T.reshape(1, -1),
        invert=lambda row, num_codebooks: row.reshape(-1, num_codebooks).T,
    ),
    "coarse-first": Pattern(
        one_row=True,
        apply=_levels_after_marks,
        invert=lambda row, num_codebooks: row.reshape(num_codebooks, -1)[:, 1:],
    ),
}
