"""Blocks read by another thread while the last ones are worked on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Block = TypeVar("Block")

DEPTH = 2
"""Blocks that are ready or being read."""


@contextmanager
def read_ahead(blocks: Iterator[Block]) -> Iterator[Iterator[Block]]:
    """The same blocks in the same order, errors at their place; nothing is read after the end.

    Decoding and resampling do not hold Python's lock: they take place beside the model.
    """
    pool = ThreadPoolExecutor(1)

    def ahead() -> Iterator[Block]:
        waiting = deque(pool.submit(next, blocks, None) for _ in range(DEPTH))
        while (block := waiting.popleft().result()) is not None:
            waiting.append(pool.submit(next, blocks, None))
            yield block

    try:
        yield ahead()
    finally:
        pool.shutdown(cancel_futures=True)  # waits: the file must not be closed while it is read
