"""Speex (RFC 5574) by speexenc and speexdec, wideband and narrowband."""

from __future__ import annotations

from typing import NamedTuple

from vqaudio.systems.carrying import fit, whole_frames
from vqaudio.systems.programs import (
    Packets,
    check_ogg,
    find_program,
    first_line,
    from_pcm,
    ogg_packets,
    run,
    to_pcm,
)
from vqaudio.systems.system import Waveform

PACKAGE = "speex"
PAGE_SECONDS = 5
"""More than an Ogg page of speexenc holds."""


class Band(NamedTuple):
    """Wideband or narrowband."""

    flag: str
    sample_rate: int
    """Hz."""
    qualities: dict[int, int]
    """bit/s, by the bytes of its packets, one each 20 ms -> quality."""


WIDEBAND = Band(
    "--wideband",
    16_000,
    {4000: 0, 6000: 1, 8000: 2, 10000: 3, 12800: 4, 16800: 5, 20800: 6, 24000: 7, 28000: 8},
)
NARROWBAND = Band("--narrowband", 8_000, {2400: 0, 6000: 2, 8000: 4, 11200: 6, 15200: 8})


class Speex:
    """Constant bitrate, highest complexity; all else as the tools have it, enhancement included."""

    delay = 0
    """speexdec drops the look-ahead. Cross-correlation of 20 s of speech by four readers gave -1 to
    0 samples at all qualities but 0, whose waveform is noise; the best STOI there is at 2 ms, no
    more than .002 above that at 0 (speex 1.2.1)."""

    def __init__(self, band: Band, bitrate: float) -> None:
        """Raises MissingError without the programs or PyAV."""
        self.band = band
        self.sample_rate = band.sample_rate
        self.quality = band.qualities[round(bitrate)]
        self._encoder = find_program("speexenc", package=PACKAGE)
        self._decoder = find_program("speexdec", package=PACKAGE)
        check_ogg("Speex")
        self._flags = (band.flag, "--quality", str(self.quality), "--comp", "10")
        self.about = {
            "encoder": first_line(self._encoder, "--version"),
            "mode": f"speexenc {' '.join(self._flags)}",
            "bits": "packets of whole bytes, without Ogg pages",
        }

    def encode(self, waveform: Waveform) -> Packets:
        frame = self.sample_rate // 50
        # Silence follows, which is not counted: in a file of a single Ogg page, 3 s and less,
        # speexdec takes the look-ahead for a part of the sound, and all comes late by it.
        speech = whole_frames(waveform, frame)
        pcm = to_pcm(fit(speech, len(speech) + PAGE_SECONDS * self.sample_rate))
        rate = ("--rate", str(self.sample_rate))
        data = run([self._encoder, *rate, *self._flags, "-", "-"], pcm)
        return Packets(data, 8 * sum(ogg_packets(data)[: len(speech) // frame]))

    def decode(self, packets: Packets) -> Waveform:
        return from_pcm(run([self._decoder, "-", "-"], packets.data))
