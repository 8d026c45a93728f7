"""The recording itself: what no codec can be better than."""

from __future__ import annotations

from collections.abc import Sequence

from vqaudio.systems.carrying import checked
from vqaudio.systems.system import Transmission, Waveform

BITS_PER_SAMPLE = 16


class Original:
    """The waveform as it came; its bitrate is that of the 16-bit PCM that it stands for."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.label = "Original"
        self.family = "Original"
        self.delay = 0
        self.codebook_sizes: tuple[int, ...] = ()
        self.about = {"mode": f"unprocessed, {BITS_PER_SAMPLE}-bit PCM"}

    def prepare(self, waveforms: Sequence[Waveform], sample_rate: int) -> None:
        """Nothing to do."""

    def transmit(self, waveform: Waveform, sample_rate: int) -> Transmission:
        """Raises AudioError."""
        same = checked(waveform, sample_rate).copy()
        return Transmission(same, BITS_PER_SAMPLE * len(same), 0.0, 0.0)
