"""Pieces of a long sequence: the same ones however it arrives, and never much of it at a time."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vqaudio.pieces import Piece, cut

grids = st.fixed_dictionaries(
    {
        "hop": st.integers(1, 7),
        "frames": st.integers(1, 12),
        "left": st.integers(0, 30),
        "right": st.integers(0, 30),
    }
)
lengths = st.integers(1, 300)
relaxed = settings(max_examples=150, deadline=None)


def sequence(length: int) -> NDArray[np.int64]:
    """[2, length], all values different."""
    return np.arange(2 * length).reshape(2, length)


def in_blocks(data: NDArray[np.int64], sizes: list[int]) -> Iterator[NDArray[np.int64]]:
    """`data` in blocks of these sizes, over and over."""
    start = 0
    while start < data.shape[1]:
        for size in sizes:
            yield data[:, start : start + size]
            start += size


def whole(length: int, grid: dict[str, int]) -> list[Piece]:
    return list(cut([sequence(length)], **grid))


@relaxed
@given(length=lengths, grid=grids, sizes=st.lists(st.integers(1, 90), min_size=1, max_size=4))
def test_blocks_change_no_piece(length: int, grid: dict[str, int], sizes: list[int]) -> None:
    expected = whole(length, grid)
    pieces = list(cut(in_blocks(sequence(length), sizes), **grid))
    assert len(pieces) == len(expected)
    for piece, other in zip(pieces, expected, strict=True):
        assert piece[1:] == other[1:]
        assert np.array_equal(piece.data, other.data)


@relaxed
@given(length=lengths, grid=grids)
def test_the_wanted_frames_are_the_sequence(length: int, grid: dict[str, int]) -> None:
    hop = grid["hop"]
    parts = [
        piece.data[:, piece.skip * hop : (piece.skip + piece.keep) * hop]
        for piece in whole(length, grid)
    ]
    assert np.array_equal(np.concatenate(parts, axis=1), sequence(length))


@relaxed
@given(length=lengths, grid=grids)
def test_context_is_as_asked_except_at_the_ends(length: int, grid: dict[str, int]) -> None:
    pieces = whole(length, grid)
    total = -(-length // grid["hop"])
    start = 0  # of the wanted frames
    for piece in pieces:
        frames = -(-piece.data.shape[1] // grid["hop"])
        assert piece.skip == min(grid["left"], start)
        assert frames - piece.skip - piece.keep == min(grid["right"], total - start - piece.keep)
        assert piece.data[0, 0] == (start - piece.skip) * grid["hop"]
        start += piece.keep
    assert start == total
    assert all(piece.keep == grid["frames"] for piece in pieces[:-1])
    assert 1 <= pieces[-1].keep <= grid["frames"] + grid["right"]


@relaxed
@given(length=lengths, grid=grids, size=st.integers(1, 40))
def test_a_piece_comes_as_soon_as_it_can(length: int, grid: dict[str, int], size: int) -> None:
    taken = 0

    def blocks() -> Iterator[NDArray[np.int64]]:
        nonlocal taken
        for block in in_blocks(sequence(length), [size]):
            taken += block.shape[1]
            yield block

    for piece in cut(blocks(), **grid):
        # One step must lie beyond a piece, to know that it is not the last one.
        end = piece.data[0, -1] + 1
        assert taken <= end + size


def test_memory_does_not_grow_with_the_sequence() -> None:
    block, count = 10_000, 400
    grid = {"hop": 10, "frames": 2_000, "left": 100, "right": 100}
    piece_bytes = 8 * 10 * (2_000 + 100 + 100)

    def blocks() -> Iterator[NDArray[np.float64]]:
        for _ in range(count):
            yield np.zeros((1, block))

    tracemalloc.start()
    try:
        assert sum(piece.keep for piece in cut(blocks(), **grid)) == count * block // 10
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The last piece, the blocks after it, and the two being joined. The sequence has 32 MB.
    assert peak < 3 * (piece_bytes + 8 * block)
