"""Crops as a room, background noise and another distance would have them: input and target alike.

A codec reproduces what it hears, so it has to hear more than clean speech at one level.
"""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from vqaudio import audio
from vqaudio.codec.config import Config
from vqaudio.corpora import Utterance
from vqaudio.corpora.lengths import LISTING, lengths
from vqaudio.data.faults import Faults
from vqaudio.errors import AudioError, CorpusError

logger = logging.getLogger(__name__)

SLOPES = (0.0, 2.0)
"""Of coloured noise: power falls with frequency to this power; 0 white, 1 pink, 2 brown."""
NOISE_FROM = 50.0
"""Hz; below, coloured noise is white, or brown noise would be little but inaudible rumble."""
DIRECT_TO_REVERBERANT_DB = (0.0, 15.0)
"""From across a small room to near the microphone."""


def _check_order(interval: tuple[float, float]) -> tuple[float, float]:
    low, high = interval
    if low > high:
        raise ValueError(f"must be [low, high], got [{low:g}, {high:g}]")
    return interval


Decibels = Annotated[float, Field(ge=-100, le=100)]
"""16 bits are 96 dB: what is farther off is a slip, and far enough off it would overflow."""
Interval = Annotated[tuple[Decibels, Decibels], Field(strict=False), AfterValidator(_check_order)]
"""[low, high] in dB, from which a value is drawn for each crop."""
Probability = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0.01, le=10)]
"""Of reverberation; what is much shorter has fallen to nothing before the second sample."""


class NoiseConfig(Config):
    """Background noise."""

    probability: Probability
    """Of a crop to have any."""
    snr_db: Interval
    """Level of the speech over that of the noise, in dB."""
    root: str | None = None
    """Folder of recorded noise; without one, noise is generated, from white to brown."""


class RoomConfig(Config):
    """Reverberation."""

    probability: Probability
    """Of a crop to have any."""
    rt60: Annotated[tuple[Seconds, Seconds], Field(strict=False), AfterValidator(_check_order)]
    """Seconds until the echoes have fallen by 60 dB."""


class Augmentation:
    """Room, then noise, then level; what would clip is scaled down.

    All is drawn from the generator that comes with a crop, and sounds stay in their place.

    Raises CorpusError when the folder of `noise` holds no sound that can be read.
    """

    def __init__(
        self,
        *,
        sample_rate: int,
        gain_db: tuple[float, float] = (0.0, 0.0),
        noise: NoiseConfig | None = None,
        room: RoomConfig | None = None,
    ) -> None:
        self.sample_rate = sample_rate
        self.gain_db = gain_db
        self.noise = noise
        self.room = room
        self.recordings: list[Utterance] = []
        if noise is not None and noise.root is not None:
            self.recordings = find_noise(Path(noise.root))

    def __call__(
        self, waveform: NDArray[np.float32], random: np.random.Generator, faults: Faults
    ) -> NDArray[np.float32]:
        """[S] -> [S], within -1 and 1. Noise that cannot be read is noted in `faults`."""
        if self.room is not None and random.random() < self.room.probability:
            seconds = random.uniform(*self.room.rt60)
            waveform = reverberate(waveform, impulse_response(seconds, self.sample_rate, random))
        if self.noise is not None and random.random() < self.noise.probability:
            snr_db = random.uniform(*self.noise.snr_db)
            waveform = add_noise(waveform, self._noise(len(waveform), random, faults), snr_db)
        waveform = waveform * np.float32(10 ** (random.uniform(*self.gain_db) / 20))
        peak = float(np.abs(waveform).max(initial=0.0))
        return waveform / np.float32(max(peak, 1.0))

    def _noise(
        self, num_samples: int, random: np.random.Generator, faults: Faults
    ) -> NDArray[np.float32]:
        """[num_samples] of a recording, or generated where there is none that can be read."""
        if self.recordings:
            recording = self.recordings[random.integers(len(self.recordings))]
            length = round(recording.seconds * self.sample_rate)
            start = int(random.random() * max(length - num_samples, 0))
            if recording.path not in faults:
                try:
                    part = audio.read_part(
                        recording.path, start, num_samples, sample_rate=self.sample_rate
                    )
                    return np.resize(part.waveform[0], num_samples)  # a short one comes repeatedly
                except AudioError as error:
                    faults.note(recording.path, error)
        return coloured_noise(num_samples, random.uniform(*SLOPES), self.sample_rate, random)


def find_noise(root: Path) -> list[Utterance]:
    """The sound files below `root`. Raises CorpusError when there are none that can be read."""
    try:
        paths = audio.find_audio(root)
    except AudioError as error:
        raise CorpusError(f"data.noise.root: {error}.") from None
    known = lengths(paths, root / LISTING)
    for fault in known.faults.values():
        logger.warning("left out of the noise: %s", fault)
    if not known.seconds:
        raise CorpusError(f"data.noise.root: {root} holds no sound that can be read.")
    return [Utterance(path, "", seconds) for path, seconds in sorted(known.seconds.items())]


def coloured_noise(
    num_samples: int, slope: float, sample_rate: int, random: np.random.Generator
) -> NDArray[np.float32]:
    """[num_samples] whose power falls with frequency to the power of `slope`; of no set level."""
    size = 1 << (num_samples - 1).bit_length()  # fast to transform
    spectrum = np.fft.rfft(random.standard_normal(size, dtype=np.float32))
    frequencies = np.fft.rfftfreq(size, NOISE_FROM / sample_rate).astype(np.float32)
    shape = frequencies.clip(min=1) ** np.float32(-slope / 2)
    return np.fft.irfft(spectrum * shape, size)[:num_samples].astype(np.float32)


def add_noise(
    waveform: NDArray[np.float32], noise: NDArray[np.float32], snr_db: float
) -> NDArray[np.float32]:
    """[S], [S] -> [S]: `waveform` and the noise, `snr_db` dB below it over the whole of the crop.

    Silence stays silent: no noise is that far below it.
    """
    power = float(np.mean(np.square(noise, dtype=np.float64)))
    if power == 0:
        return waveform
    wanted = float(np.mean(np.square(waveform, dtype=np.float64))) * 10 ** (-snr_db / 10)
    # The gain alone may be more than float32 holds: a pause in a float file is near silence.
    return waveform + (noise * np.float64(math.sqrt(wanted / power))).astype(np.float32)


def impulse_response(
    rt60: float, sample_rate: int, random: np.random.Generator
) -> NDArray[np.float32]:
    """[rt60 * sample_rate]: the direct sound, 1 at sample 0, then noise that falls by 60 dB.

    Polack's model of a diffuse room.
    """
    time = np.arange(max(round(rt60 * sample_rate), 2), dtype=np.float32) / sample_rate
    decay = np.exp(np.float32(-3 * math.log(10) / rt60) * time)  # -60 dB at rt60
    response = random.standard_normal(len(time), dtype=np.float32) * decay
    response[0] = 0
    ratio_db = random.uniform(*DIRECT_TO_REVERBERANT_DB)
    response *= np.float32(10 ** (-ratio_db / 20) / np.linalg.norm(response))
    response[0] = 1
    return response


def reverberate(
    waveform: NDArray[np.float32], response: NDArray[np.float32]
) -> NDArray[np.float32]:
    """[S], [R] -> [S]: convolved, without what rings on after the end."""
    num_samples = len(waveform)
    response = response[:num_samples]
    size = 1 << (num_samples + len(response) - 2).bit_length()  # or the end would come around
    spectrum = np.fft.rfft(waveform, size) * np.fft.rfft(response, size)
    return np.fft.irfft(spectrum, size)[:num_samples].astype(np.float32)
