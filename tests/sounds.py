"""Sounds for tests: made-up ones like speech, and real speech from the box."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from vqaudio import Tokens, load
from vqaudio.checkpoint import BUNDLED

SAMPLE_RATE = 16_000
VOWELS = ((730, 1090), (270, 2290), (300, 870), (530, 1840), (570, 840))
"""First two formants in Hz: a, i, u, e, o (Peterson and Barney 1952)."""


@cache
def recorded_speech() -> NDArray[np.float32]:
    """[S] at 16 kHz, 14 s: the recording that the example in the box was made of, decoded."""
    tokens = Tokens.load(BUNDLED / "example.npz")
    speech: NDArray[np.float32] = load(device="cpu").decode(tokens)[0].numpy()
    speech.flags.writeable = False  # the next test gets it, too
    return speech


def babble(speaker: int, take: int, *, seconds: float) -> NDArray[np.float64]:
    """[S] at 16 kHz: vowels on a gliding pitch, hisses and pauses; each speaker has a pitch."""
    random = np.random.default_rng((speaker, take))
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    pitch = (90 + 25 * speaker) * (1 + 0.1 * np.sin(2 * np.pi * random.uniform(0.5, 2) * time))
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    buzz = sum(np.sin(harmonic * phase) / harmonic for harmonic in range(1, 25))
    hiss = random.standard_normal(len(time))
    sound = np.zeros(len(time))
    start = 0
    while start < len(time):
        end = start + random.integers(1600, 4800)
        match random.choice(["vowel", "vowel", "vowel", "hiss", "pause"]):
            case "vowel":
                sound[start:end] = _speak(buzz[start:end], VOWELS[random.integers(len(VOWELS))])
            case "hiss":
                sound[start:end] = 0.05 * hiss[start:end]
        start = end
    return 0.3 * sound / np.abs(sound).max() + 1e-4 * hiss


def _speak(buzz: NDArray[np.float64], formants: tuple[int, ...]) -> NDArray[np.float64]:
    """A resonance of 100 Hz width at each formant, and the edges faded."""
    for frequency in formants:
        radius = np.exp(-np.pi * 100 / SAMPLE_RATE)
        angle = 2 * np.pi * frequency / SAMPLE_RATE
        buzz = lfilter([1 - radius], [1, -2 * radius * np.cos(angle), radius**2], buzz)
    return buzz * np.hanning(len(buzz)) ** 0.5 / max(np.abs(buzz).max(), 1e-9)
