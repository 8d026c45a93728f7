"""Whether a system does to real speech what it must: a broken adapter is no result."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vqaudio.errors import VqaudioError
from vqaudio.metrics import stoi
from vqaudio.systems.finding import parse
from vqaudio.systems.system import System, Waveform

SECONDS = 10.0
"""Of the speech that are listened to."""
SHORT_SECONDS = 1.5
"""The loudest such piece is sent by itself as well: an Ogg file of a single page is a case of its
own, and speexdec, left alone, plays it late."""
MAX_LEVEL = 6.0
"""dB that a system may be louder or softer."""
MAX_DELAY = 0.010
"""Seconds that are left after the system took out its own delay."""
MIN_LIKENESS = 0.5
"""Correlation of band envelopes. Codec 2 at 700 bit/s has .81 or more."""

FLOORS = {
    "original": {0: 0.999},
    "opus": {24000: 0.89, 12000: 0.80, 6000: 0.66},
    "codec2": {3200: 0.62, 1200: 0.56, 700: 0.50},
    "speex": {16800: 0.86, 8000: 0.70, 4000: 0.53},
    "speex-nb": {15200: 0.86, 2400: 0.54},
    "amr-wb": {23850: 0.87, 6600: 0.71},
    "encodec": {6000: 0.80, 1500: 0.65},
    "dac": {6000: 0.80},
    "dac-24k": {6000: 0.80},
    "dac-44k": {6000: 0.80},
    "mimi": {1100: 0.70},
    "x-codec": {2000: 0.65},
    "snac": {0: 0.60},
}
"""STOI by name and bit/s: a system must reach that of the highest bitrate which is not above its
own. About .05 less than the lowest of some twenty clips from four sources, a hoarse and a hard one
included (Opus at 24 kbit/s .94, Codec 2 at 3.2 kbit/s .68; most clips were .1 to .2 higher). The
floors of the networks are guesses: their weights were not at hand."""

HOP = 0.001
WINDOW = 0.016
BANDS = np.geomspace(150, 3600, 13)
"""Edges in Hz: what even a codec for telephones carries."""
MAX_LAG = 0.150
"""Seconds, that are searched for the delay."""
LEAST_SECONDS = 4 * MAX_LAG
"""Of less, such as a click or half a frame, a good codec too may leave nothing."""


def check(system: System, waveform: Waveform, sample_rate: int) -> str:
    """Why the results of `system` may not be trusted, one sentence; empty if nothing is wrong.

    `waveform` [S] is speech, better 5 s than 1; of silence, and below 0.6 s, only length and
    numbers are checked.

    Raises what `system.transmit` raises.
    """
    speech = waveform[: round(SECONDS * sample_rate)]
    length = round(SHORT_SECONDS * sample_rate)
    if len(speech) < 2 * length:
        return _check(system, speech, sample_rate)
    pieces = [speech[start : start + length] for start in range(0, len(speech) - length, length)]
    loudest = max(pieces, key=lambda piece: float(np.square(piece).sum()))
    fault = _check(system, loudest, sample_rate)
    if fault:
        return f"of {SHORT_SECONDS:g} s of speech, {fault}"
    return _check(system, speech, sample_rate)


def _check(system: System, speech: Waveform, sample_rate: int) -> str:
    decoded = system.transmit(speech, sample_rate).waveform
    if np.shape(decoded) != speech.shape:
        return f"{len(speech)} samples went in, {list(np.shape(decoded))} came out"
    if not np.isfinite(decoded).all():
        return "samples came out that are no numbers"
    if not speech.any() or len(speech) < LEAST_SECONDS * sample_rate:
        return ""
    if not decoded.any():
        return "silence came out"
    level = 10 * math.log10(_power(decoded, sample_rate) / _power(speech, sample_rate))
    if abs(level) > MAX_LEVEL:
        return f"the level is off by {level:+.1f} dB, more than {MAX_LEVEL:g}"
    return _compare(system.name, speech, decoded, sample_rate)


def _compare(name: str, speech: Waveform, decoded: Waveform, sample_rate: int) -> str:
    found = estimate_lag(speech, decoded, sample_rate)
    if found.likeness < MIN_LIKENESS:
        return (
            f"what came out is another sound: its envelopes correlate by {found.likeness:.2f}, "
            f"less than {MIN_LIKENESS:g}"
        )
    if abs(found.seconds) > MAX_DELAY:
        return f"the sound is off by {1000 * found.seconds:+.0f} ms, more than {1000 * MAX_DELAY:g}"
    floor = floor_of(name)
    if floor is None or len(speech) < 2 * SHORT_SECONDS * sample_rate:  # of little, STOI varies
        return ""
    try:
        score = stoi(speech, decoded, sample_rate)
    except VqaudioError:  # pystoi is not installed; all else was checked above
        return ""
    if score < floor:
        return f"STOI is {score:.2f}, less than the {floor:g} that is expected of {name}"
    return ""


def floor_of(spec: str) -> float | None:
    """The STOI that the system of this name must reach; None where that cannot be said.

    >>> floor_of("opus@16000")
    0.8
    """
    try:
        name, folder, bitrate = parse(spec)
    except VqaudioError:  # a system that was not found by its name
        return None
    if folder is not None:  # weights of someone's own
        return None
    floors = FLOORS.get(name, {})
    bitrate = math.inf if bitrate is None else bitrate
    return floors.get(max((least for least in floors if least <= bitrate), default=-1))


class Lag(NamedTuple):
    """How late a sound is, and how sure that is."""

    seconds: float
    likeness: float
    """Correlation of the band envelopes there, -1 to 1."""


def estimate_lag(reference: Waveform, late: Waveform, sample_rate: int) -> Lag:
    """By correlation of band envelopes, which a vocoder keeps too; within about 3 ms."""
    first, second = _envelopes(reference, sample_rate), _envelopes(late, sample_rate)
    size = 2 * first.shape[1]
    product = np.conj(np.fft.rfft(first, size)) * np.fft.rfft(second, size)
    norm = math.sqrt((first**2).sum() * (second**2).sum())
    correlation = np.fft.irfft(product, size).sum(axis=0) / max(norm, 1e-12)
    most = round(MAX_LAG / HOP)
    lags = np.arange(-most, most + 1)
    best = int(lags[np.argmax(correlation[lags])])
    return Lag(best * HOP, float(correlation[best]))


def _envelopes(waveform: Waveform, sample_rate: int) -> NDArray[np.float64]:
    """[S] -> [bands, frames]: log energies less their means, 40 dB below the loudest cut off."""
    window = round(WINDOW * sample_rate)
    num_frames = int((len(waveform) / sample_rate - WINDOW) / HOP)
    starts = np.round(np.arange(num_frames) * HOP * sample_rate).astype(int)
    starts = starts[starts + window <= len(waveform)]
    frames = np.lib.stride_tricks.sliding_window_view(waveform, window)[starts]
    power = np.abs(np.fft.rfft(frames * np.hanning(window), axis=1)) ** 2
    edges = np.round(BANDS * window / sample_rate).astype(int)
    # A band of at least one bin: the lowest are narrower than the spectrum resolves.
    bands = np.stack([power[:, a : max(b, a + 1)].sum(axis=1) for a, b in pairwise(edges)])
    log = np.log(bands + 1e-4 * max(bands.max(), 1e-20))
    centred: NDArray[np.float64] = log - log.mean(axis=1, keepdims=True)
    return centred


def _power(waveform: Waveform, sample_rate: int) -> float:
    """Between the outer edges of BANDS: a codec for telephones does not count as too soft."""
    spectrum = np.fft.rfft(waveform.astype(np.float64))
    frequencies = np.fft.rfftfreq(len(waveform), 1 / sample_rate)
    inside = (frequencies >= BANDS[0]) & (frequencies <= BANDS[-1])
    return float((np.abs(spectrum[inside]) ** 2).sum()) + 1e-12
