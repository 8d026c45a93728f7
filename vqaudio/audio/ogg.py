"""Pages of an ogg: where libsndfile may jump to."""

from __future__ import annotations

import os
import re
from typing import IO

MAX_PAGE = 65_307
"""Bytes: 27, up to 255 sizes, and as many segments of up to 255 bytes (RFC 3533)."""

HEADER = re.compile(rb"OggS\0.(.{8})", re.DOTALL)
"""Capture pattern, version 0, flags; then the granule position, little-endian: how many samples
there are up to the end of the page, the pre-skip of Opus included, and -1 where no packet ends."""


def last_page_start(file: IO[bytes]) -> int:
    """The first sample of the last page; 0 where there is but one.

    The last page of a Vorbis stream may have fewer samples than its packets decode to: its granule
    position says where to cut. libsndfile (1.2.2) counts samples backwards from that position, so
    after a jump into the last page all comes too late by what is cut; elsewhere it is exact.
    """
    ends = _last_page_ends(file)
    return max((end for end in ends if 0 <= end < max(ends)), default=0)


def opus_begins_at_zero(file: IO[bytes], num_samples: int, sample_rate: int) -> bool:
    """Whether the clock of an Opus stream of `num_samples` at `sample_rate` Hz starts with it.

    That of a recorded broadcast does not (RFC 7845, section 4.3), and with PyAV it is easy to write
    another that does not. libsndfile (1.2.2) is off in these by the pre-skip after every jump.
    """
    back_to = file.tell()
    file.seek(0)
    head = file.read(MAX_PAGE)
    file.seek(back_to)
    place = head.find(b"OpusHead") + 10
    pre_skip = int.from_bytes(head[place : place + 2], "little")
    end = max(_last_page_ends(file), default=0) - pre_skip
    # Granule positions count at 48 kHz, whatever the rate of the sound.
    return abs(end * sample_rate / 48_000 - num_samples) <= 1


def _last_page_ends(file: IO[bytes]) -> list[int]:
    """The granule positions of the last pages, as they come."""
    back_to = file.tell()
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - 3 * MAX_PAGE, 0))
    tail = file.read()
    file.seek(back_to)
    return [int.from_bytes(match[1], "little", signed=True) for match in HEADER.finditer(tail)]
