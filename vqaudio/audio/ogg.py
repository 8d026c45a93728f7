"""Pages of an ogg: where libsndfile may jump to."""

from __future__ import annotations

import os
import re
from typing import IO

MAX_PAGE = 65_307
"""Bytes: 27, up to 255 sizes, and as many segments of up to 255 bytes (RFC 3533)."""

HEADER = re.compile(rb"OggS\0.(.{8})", re.DOTALL)
"""Capture pattern, version 0, flags; then the granule position, little-endian: for Vorbis, how many
samples there are up to the end of the page, and -1 where no packet ends in it."""


def last_page_start(file: IO[bytes]) -> int:
    """The first sample of the last page; 0 where there is but one.

    The last page of a Vorbis stream may have fewer samples than its packets decode to: its granule
    position says where to cut. libsndfile (1.2.2) counts samples backwards from that position, so
    after a jump into the last page all comes too late by what is cut; elsewhere it is exact.
    """
    back_to = file.tell()
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - 3 * MAX_PAGE, 0))
    tail = file.read()
    file.seek(back_to)
    ends = [int.from_bytes(match[1], "little", signed=True) for match in HEADER.finditer(tail)]
    return max((end for end in ends if 0 <= end < max(ends)), default=0)
