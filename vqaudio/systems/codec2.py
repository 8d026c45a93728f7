"""Codec 2 (David Rowe) by c2enc and c2dec: a parametric vocoder for 8 kHz speech."""

from __future__ import annotations

import math
from typing import NamedTuple

from vqaudio.systems.carrying import fit, whole_frames
from vqaudio.systems.programs import Packets, find_program, from_pcm, run, to_pcm
from vqaudio.systems.system import Waveform

PACKAGE = "codec2"


class Mode(NamedTuple):
    """One of its bitrates."""

    name: str
    """As c2enc knows it."""
    frame: int
    """Samples."""
    bits: int
    """Of a frame, by codec2.h; in a file each frame is filled up to whole bytes."""
    delay: int = 160
    """Samples. 12 readers, 48 s: STOI is highest at 160 of -200 to 700 in all modes but 700C,
    band envelopes correlate best at 152 to 160 (codec2 1.0.5)."""


MODES = {
    700: Mode("700C", 320, 28, delay=240),  # the same measurement: 240 and 224
    1200: Mode("1200", 320, 48),
    1300: Mode("1300", 320, 52),
    1400: Mode("1400", 320, 56),
    1600: Mode("1600", 320, 64),
    2400: Mode("2400", 160, 48),
    3200: Mode("3200", 160, 64),
}
RATES = tuple(MODES)
"""bit/s."""


class Codec2:
    """Frames of 20 or 40 ms; the last one is filled up with silence."""

    sample_rate = 8_000

    def __init__(self, bitrate: float) -> None:
        """Raises MissingError without the programs."""
        self.mode = MODES[round(bitrate)]
        self.delay = self.mode.delay
        self._encoder = find_program("c2enc", package=PACKAGE)
        self._decoder = find_program("c2dec", package=PACKAGE)
        self.about = {
            "encoder": "c2enc, which tells no version",
            "mode": f"c2enc {self.mode.name}",
            "bits": f"{self.mode.bits} for {self.mode.frame / 8:g} ms of speech, without filling",
        }

    def encode(self, waveform: Waveform) -> Packets:
        # Silence behind the speech brings out its end, which is late; a frame of it is not counted.
        frames = whole_frames(fit(waveform, len(waveform) + self.delay), self.mode.frame)
        data = run([self._encoder, self.mode.name, "-", "-"], to_pcm(frames))
        return Packets(data, math.ceil(len(waveform) / self.mode.frame) * self.mode.bits)

    def decode(self, packets: Packets) -> Waveform:
        return from_pcm(run([self._decoder, self.mode.name, "-", "-"], packets.data))
