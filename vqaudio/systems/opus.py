"""Opus (RFC 6716) by opusenc and opusdec."""

from __future__ import annotations

import numpy as np

from vqaudio.systems.programs import (
    Packets,
    check_ogg,
    find_program,
    first_line,
    ogg_packets,
    run,
    to_pcm,
)
from vqaudio.systems.system import Waveform

PACKAGE = "opus-tools"
RATES = (6000, 9000, 12000, 16000, 24000, 32000)
"""bit/s. opusenc takes any from 6000; the mean over speech with pauses is up to a tenth lower."""
FLAGS = ("--speech", "--vbr", "--comp", "10", "--framesize", "20")


class Opus:
    """48 kHz in and out, so that the tools' own resamplers are not part of what is compared.

    The encoder chooses the bandwidth: 4 kHz at 6 kbit/s, 8 kHz and more above.
    """

    sample_rate = 48_000
    delay = 0
    """opusdec drops the encoder's look-ahead (the pre-skip of RFC 7845). Cross-correlation of 20 s
    of speech by four readers gave -2 to +3 samples at 6 to 32 kbit/s (opus-tools 0.2)."""

    def __init__(self, bitrate: float) -> None:
        """Raises MissingError without opus-tools or PyAV."""
        self.bitrate = bitrate
        self._encoder = find_program("opusenc", package=PACKAGE)
        self._decoder = find_program("opusdec", package=PACKAGE)
        check_ogg("Opus")
        self.about = {
            "encoder": first_line(self._encoder, "--version"),
            "mode": f"opusenc --bitrate {bitrate / 1000:g} {' '.join(FLAGS)}",
            "bits": "packets, without Ogg pages and tags",
        }

    def encode(self, waveform: Waveform) -> Packets:
        raw = ("--raw", "--raw-bits", "16", "--raw-rate", str(self.sample_rate), "--raw-chan", "1")
        bitrate = ("--bitrate", f"{self.bitrate / 1000:g}")
        data = run([self._encoder, "--quiet", *raw, *bitrate, *FLAGS, "-", "-"], to_pcm(waveform))
        return Packets(data, 8 * sum(ogg_packets(data)))

    def decode(self, packets: Packets) -> Waveform:
        # Floats are neither clipped nor dithered.
        options = ("--quiet", "--rate", str(self.sample_rate), "--float")
        return np.frombuffer(run([self._decoder, *options, "-", "-"], packets.data), "<f4")
