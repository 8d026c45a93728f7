"""What can carry speech from one place to another: a codec, ours or anyone's, at one bitrate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Waveform = NDArray[np.float32]
"""[S], mono, full scale 1."""


class Transmission(NamedTuple):
    """What came out at the other end, and what it took."""

    waveform: Waveform
    """[S]: as long as what went in, at its sample rate, with the system's delay taken out."""
    num_bits: int
    """Sent for the speech itself: packets or codes, no file headers."""
    encode_seconds: float
    """Of computing, wall time."""
    decode_seconds: float
    codes: NDArray[Any] | None = None
    """[Q, T] of a system that has codes."""


class System(Protocol):
    """A codec at one bitrate."""

    name: str
    """As it is asked for on the command line, such as opus@6000."""
    label: str
    """As it is read in a table, such as Opus 6 kbit/s."""
    family: str
    """What the points of one curve have in common, such as Opus."""
    delay: int
    """Samples at the rate of the evaluation that the waveform comes late, and that are cut off."""
    codebook_sizes: tuple[int, ...]
    """K of each level; empty for a system without codes."""
    about: dict[str, str]
    """What a reader of the table may ask: encoder and its version, mode, sample rate inside."""

    def prepare(self, waveforms: Sequence[Waveform], sample_rate: int) -> None:
        """These come next: what is faster for many at once may be done now. Most do nothing."""
        ...

    def transmit(self, waveform: Waveform, sample_rate: int) -> Transmission:
        """Raises AudioError for what the system cannot carry, MissingError."""
        ...
