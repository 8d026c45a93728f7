"""Examples to listen to: sounds and spectrograms that lie in the page itself."""

from __future__ import annotations

import base64
import io
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vqaudio.errors import VqaudioError

WINDOW_SECONDS = 0.032
COLUMNS, ROWS = 480, 112
"""Pixels of a spectrogram, at most."""
RANGE_DB = 70.0
"""Of a spectrogram, below the loudest point of the original."""
DIFFERENCE_DB = 24.0
"""At the two ends of the colours of a difference."""
SHADES = 32
"""Steps of colour: as many as the eye tells apart, and a third of the bytes of 256."""


class Take(NamedTuple):
    """An example as it came out of one system."""

    system: str
    """As in `SystemResult.name`."""
    label: str
    waveform: NDArray[np.float32]
    """[S], full scale 1."""


class Example(NamedTuple):
    """A recording to listen to, and what the systems make of it."""

    file: str
    """As in `FileResult.file`."""
    sample_rate: int
    takes: tuple[Take, ...]
    """The first is the recording itself."""
    text: str = ""
    """What is said, where that is known."""


def to_flac(waveform: NDArray[np.float32], sample_rate: int) -> str:
    """[S] -> a data: URI of 16 bits a sample, as every browser plays it; "" of no samples."""
    import soundfile

    samples = np.minimum(np.rint(_playable(waveform) * 32768), 32767).astype(np.int16)
    if not len(samples):
        return ""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, sample_rate, format="FLAC", subtype="PCM_16")
    return "data:audio/flac;base64," + base64.b64encode(buffer.getvalue()).decode()


def decibels(waveform: NDArray[np.float32], sample_rate: int) -> NDArray[np.float64]:
    """[S] -> [F, T] level in dB, low frequencies first, at most ROWS by COLUMNS."""
    length = max(round(WINDOW_SECONDS * sample_rate), 2 * ROWS)
    hop = max(len(waveform) / COLUMNS, length / 8)
    starts = np.arange(0, max(len(waveform), 1), hop).astype(int)
    padded = np.pad(_playable(waveform), length // 2 + 1)
    # Whatever lies between two pictured windows of a long sound is not seen.
    windows = np.lib.stride_tricks.sliding_window_view(padded, length)[starts]
    power = np.abs(np.fft.rfft(windows * np.hanning(length))) ** 2
    edges = np.linspace(0, power.shape[1], ROWS + 1).astype(int)[:-1]
    pooled = np.add.reduceat(power, edges, axis=1).T
    return np.asarray(10 * np.log10(np.maximum(pooled, 1e-12)), dtype=np.float64)


def spectrogram(levels: NDArray[np.float64], *, top: float) -> str:
    """[F, T] dB -> a data: URI of a picture; `top` dB is the lightest."""
    return _to_png((levels - top) / RANGE_DB + 1, "magma")


def difference(original: NDArray[np.float64], decoded: NDArray[np.float64], *, top: float) -> str:
    """[F, T] dB twice -> a picture of what is too loud (red) and too soft (blue)."""
    frames = min(original.shape[1], decoded.shape[1])
    floor = top - RANGE_DB
    error = np.maximum(decoded[:, :frames], floor) - np.maximum(original[:, :frames], floor)
    return _to_png(error / (2 * DIFFERENCE_DB) + 0.5, "RdBu_r")


def _playable(waveform: NDArray[np.float32]) -> NDArray[np.float64]:
    """[S] within [-1, 1]. What is no number is silent: a broken system is still to be shown."""
    finite = np.nan_to_num(waveform.astype(np.float64), nan=0.0, posinf=1.0, neginf=-1.0)
    return np.clip(finite, -1, 1)


def _to_png(values: NDArray[np.float64], colours: str) -> str:
    """[F, T] of 0 to 1 -> a data: URI, low frequencies at the bottom."""
    try:
        from matplotlib import colormaps
        from PIL import Image
    except ImportError:
        raise VqaudioError("The report needs matplotlib: pip install 'vqaudio[eval]'.") from None
    steps = np.rint(np.clip(values[::-1], 0, 1) * (SHADES - 1)).astype(np.uint8)
    palette = (colormaps[colours](np.linspace(0, 1, SHADES))[:, :3] * 255).round().astype(np.uint8)
    image = Image.frombytes("P", steps.shape[::-1], steps.tobytes())
    image.putpalette(palette.tobytes())
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
