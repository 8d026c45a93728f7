"""What the phases of decoded speech cost, by frequency.

    python benchmarks/phases.py DATA [--model MODEL] [--files 24]

DATA is a folder of speech. Each recording is tokenized and decoded; then the decoded phases up to
a frequency are replaced by those of the recording, the decoded magnitudes staying (windows of 32
ms, hops of 8), and by those of the recording plus an error drawn for each bin. Beside them
everything up to that frequency is the recording's, magnitudes too.

The first table is the phase error per band, mean 1 - cos(difference) over bins weighted by the
square root of the recorded magnitude: 0 is right, 1 has nothing to do with it.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import Any

import librosa
import numpy as np
from measuring import table
from numpy.typing import NDArray

import vqaudio
from vqaudio import audio
from vqaudio.metrics import pesq_wb, stoi

BANDS = (125, 250, 500, 750, 1000, 1500, 2000, 4000)
"""Hz."""
LIMITS = (500, 1000, 2000, 8000)
"""Hz."""
ERROR = 0.7
"""Radians, standard deviation."""
HOP_SECONDS = 0.008


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of speech")
    parser.add_argument("--model", help="model file or name")
    parser.add_argument("--files", type=int, default=24, help="at the most")
    arguments = parser.parse_args()

    tokenizer = vqaudio.load(arguments.model, device="cpu")
    rate, generator = tokenizer.sample_rate, np.random.default_rng(0)
    errors: list[list[float]] = []
    figures: dict[tuple[str, str], list[tuple[float, float]]] = {}
    files = audio.find_audio(arguments.data)[: arguments.files]
    for file in files:
        recorded = audio.read(file, sample_rate=rate).waveform[0]
        decoded = tokenizer.decode(tokenizer.encode(recorded))[0].numpy()
        spectra = spectrum(recorded, rate), spectrum(decoded, rate)
        errors.append(phase_errors(*spectra, rate))
        mixed = exchanged(*spectra, rate, len(recorded), generator)
        for key, sound in {("nothing", ""): decoded, **mixed}.items():
            found = stoi(recorded, sound, rate), pesq_wb(recorded, sound, rate)
            figures.setdefault(key, []).append(found)

    print(f"{tokenizer}, {len(files)} files\n")
    bands = [f"{low} to {high} Hz" for low, high in itertools.pairwise(BANDS)]
    print(table(bands, [[f"{error:.2f}" for error in np.mean(errors, axis=0)]]), end="\n\n")
    rows = [
        [*key, *(f"{mean:.3f}" for mean in np.mean(found, axis=0))]
        for key, found in figures.items()
    ]
    print(table(["as recorded", "up to", "STOI", "PESQ-WB"], rows))


def spectrum(sound: NDArray[np.float32], rate: int) -> NDArray[Any]:
    """[F, frames] complex."""
    hop = hop_length(rate)
    return librosa.stft(sound, n_fft=4 * hop, hop_length=hop)


def hop_length(rate: int) -> int:
    return round(HOP_SECONDS * rate)


def phase_errors(recorded: NDArray[Any], decoded: NDArray[Any], rate: int) -> list[float]:
    """Of each band."""
    weight = np.sqrt(np.abs(recorded))
    error = 1 - np.cos(np.angle(recorded) - np.angle(decoded))
    hertz = np.linspace(0, rate / 2, len(recorded))
    found = []
    for low, high in itertools.pairwise(BANDS):
        band = (hertz >= low) & (hertz < high)
        found.append(float((weight * error)[band].sum() / max(weight[band].sum(), 1e-9)))
    return found


def exchanged(
    recorded: NDArray[Any],
    decoded: NDArray[Any],
    rate: int,
    num_samples: int,
    generator: np.random.Generator,
) -> dict[tuple[str, str], NDArray[np.float32]]:
    """[F, frames] twice -> [S] each: the decoded sound with parts of the recorded spectrum in it.

    By what of it and up to where.
    """
    sounds = {}
    for limit in LIMITS:
        low = np.linspace(0, rate / 2, len(recorded)) <= limit
        error = generator.normal(scale=ERROR, size=recorded.shape)
        for what, spectra in {
            "phases": np.abs(decoded) * np.exp(1j * np.angle(recorded)),
            f"phases, but for {ERROR:g} rad": np.abs(decoded)
            * np.exp(1j * (np.angle(recorded) + error)),
            "everything": recorded,
        }.items():
            mixed = np.where(low[:, None], spectra, decoded)
            sound = librosa.istft(mixed, hop_length=hop_length(rate), length=num_samples)
            sounds[what, f"{limit} Hz"] = sound.astype(np.float32)
    return sounds


if __name__ == "__main__":
    main()
