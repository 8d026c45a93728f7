"""Codes laid out for language models: each pattern can be undone, and is what its picture says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vqaudio.errors import TokensError
from vqaudio.patterns import PATTERNS, Vocabulary, arrange, restore

SIZES = (4, 2)
CODES = np.array([[0, 1, 3], [1, 0, 1]], np.uint16)
# Ids: pad 0, begin 1, end 2, marks 3 and 4, first level from 5 on, second from 9 on.
PICTURES = {
    "parallel": [[1, 5, 6, 8, 2], [1, 10, 9, 10, 2]],
    "delay": [[1, 5, 6, 8, 0, 2], [1, 0, 10, 9, 10, 2]],
    "flatten": [[1, 5, 10, 6, 9, 8, 10, 2]],
    "coarse-first": [[1, 3, 5, 6, 8, 4, 10, 9, 10, 2]],
}


def test_every_pattern_has_a_picture() -> None:
    assert PICTURES.keys() == PATTERNS.keys()


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_picture(pattern: str) -> None:
    assert arrange(CODES, SIZES, pattern).tolist() == PICTURES[pattern]


@st.composite
def sizes_and_codes(draw: st.DrawFn) -> tuple[tuple[int, ...], NDArray[np.uint16]]:
    sizes = draw(st.lists(st.sampled_from([1, 2, 3, 1024, 65536]), min_size=1, max_size=9))
    frames = draw(st.integers(0, 40))
    seed = draw(st.integers(0, 2**32 - 1))
    codes = np.random.default_rng(seed).integers(0, np.array(sizes)[:, None], (len(sizes), frames))
    return tuple(sizes), codes.astype(np.uint16)


@pytest.mark.parametrize("pattern", PATTERNS)
@given(sizes_and_codes())
def test_a_pattern_is_undone(
    pattern: str, case: tuple[tuple[int, ...], NDArray[np.uint16]]
) -> None:
    sizes, codes = case
    ids = arrange(codes, sizes, pattern)
    assert len(ids) == PATTERNS[pattern].num_rows(len(sizes))
    assert ids.min() >= 0
    assert ids.max() < Vocabulary(sizes).size
    again = restore(ids, sizes, pattern)
    assert again.dtype == np.uint16
    np.testing.assert_array_equal(again, codes)
    if len(ids) == 1:
        np.testing.assert_array_equal(restore(ids[0], sizes, pattern), codes)


@pytest.mark.parametrize("pattern", PATTERNS)
@given(st.data())
def test_whatever_is_changed_is_noticed_or_other_codes(pattern: str, data: st.DataObject) -> None:
    ids = arrange(CODES, SIZES, pattern)
    row = data.draw(st.integers(0, len(ids) - 1))
    column = data.draw(st.integers(0, ids.shape[1] - 1))
    ids[row, column] = data.draw(st.integers(-3, 12))
    try:
        codes = restore(ids, SIZES, pattern)
    except TokensError:
        return
    np.testing.assert_array_equal(arrange(codes, SIZES, pattern), ids)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_what_was_cut_is_refused(pattern: str) -> None:
    ids = arrange(CODES, SIZES, pattern)
    for columns in range(ids.shape[1]):
        with pytest.raises(TokensError):
            restore(ids[:, :columns], SIZES, pattern)


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(TokensError, match="no pattern 'zigzag': choose from parallel, delay"):
        arrange(CODES, SIZES, "zigzag")
    with pytest.raises(TokensError, match=r"shape \[2, 3\] do not fit 3 codebooks"):
        arrange(CODES, (4, 2, 2), "flatten")
    with pytest.raises(TokensError, match="id 9 is no code of level 1, which has ids from 5"):
        arrange(CODES + 1, SIZES, "flatten")
    with pytest.raises(TokensError, match="codes of float64 came: they are integers"):
        arrange(CODES + 0.5, SIZES, "flatten")
    with pytest.raises(TokensError, match="codes beyond 16 bits came"):
        arrange(CODES + np.int64(2**32), SIZES, "flatten")
    with pytest.raises(TokensError, match="8 ids are no coarse-first sequence of 4 levels"):
        restore(np.arange(8), (2,) * 4, "coarse-first")


def test_ids_have_the_names_of_their_codes() -> None:
    vocabulary = Vocabulary(SIZES)
    names = np.array(vocabulary.names())
    assert len(names) == vocabulary.size == len(set(names))
    assert names[arrange(CODES, SIZES, "flatten")[0]].tolist() == (
        ["<audio>", "<a0_0>", "<a1_1>", "<a0_1>", "<a1_0>", "<a0_3>", "<a1_1>", "</audio>"]
    )
    assert vocabulary.facts() == {
        "size": 11,
        "pad": 0,
        "begin": 1,
        "end": 2,
        "marks": [3, 4],
        "offsets": [5, 9],
    }
