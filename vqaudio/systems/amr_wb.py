"""AMR-WB (ITU-T G.722.2) by ffmpeg: libvo_amrwbenc encodes, FFmpeg's own decoder decodes."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from vqaudio.errors import MissingError
from vqaudio.systems.carrying import fit, whole_frames
from vqaudio.systems.programs import Packets, find_program, first_line, run, to_pcm
from vqaudio.systems.system import Waveform

ENCODER = "libvo_amrwbenc"
FRAME = 320
"""Samples: 20 ms."""
RATES = (6600, 8850, 12650, 14250, 15850, 18250, 19850, 23050, 23850)
"""bit/s: those of the standard, 132 to 477 bits a frame."""


class AmrWb:
    """Without discontinuous transmission: silence costs as much as speech."""

    sample_rate = 16_000
    delay = 95
    """Samples, 5.9 ms: cross-correlation of 20 s of speech by four readers, the same at all nine
    rates (ffmpeg 5.1.9). It is 80 of look-ahead and 15 of the filters to 12.8 kHz and back."""

    def __init__(self, bitrate: float) -> None:
        """Raises MissingError without ffmpeg or its encoder."""
        self.bitrate = round(bitrate)
        self._ffmpeg = find_program("ffmpeg", package="ffmpeg libavcodec-extra")
        if ENCODER not in _encoders(self._ffmpeg):
            raise MissingError(
                f"the ffmpeg here has no encoder {ENCODER}: apt install libavcodec-extra"
            )
        self.about = {
            "encoder": f"{ENCODER}, {first_line(self._ffmpeg, '-version').split(' Copyright')[0]}",
            "mode": f"ffmpeg -c:a {ENCODER} -b:a {self.bitrate}",
            "bits": f"{self.bitrate // 50} for 20 ms of speech, without the byte that heads it",
        }

    def encode(self, waveform: Waveform) -> Packets:
        # Silence behind the speech brings out its end, which is late; a frame of it is not counted.
        frames = whole_frames(fit(waveform, len(waveform) + self.delay), FRAME)
        source = ("-f", "s16le", "-ar", str(self.sample_rate), "-ac", "1", "-i", "pipe:0")
        target = ("-c:a", ENCODER, "-b:a", str(self.bitrate), "-f", "amr", "pipe:1")
        data = run([self._ffmpeg, "-v", "error", *source, *target], to_pcm(frames))
        return Packets(data, math.ceil(len(waveform) / FRAME) * self.bitrate // 50)

    def decode(self, packets: Packets) -> Waveform:
        command = [self._ffmpeg, "-v", "error", "-f", "amr", "-i", "pipe:0", "-f", "f32le"]
        return np.frombuffer(run([*command, "pipe:1"], packets.data), "<f4")


@lru_cache
def _encoders(ffmpeg: str) -> str:
    return run([ffmpeg, "-v", "error", "-encoders"]).decode(errors="replace")
