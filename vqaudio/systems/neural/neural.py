"""A neural codec as a tokenizer at its own sample rate, and as a System at any."""

from __future__ import annotations

import math
from collections.abc import Sequence
from time import perf_counter
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vqaudio.systems.carrying import checked, fit, to_rate
from vqaudio.systems.system import Transmission, Waveform

Codes = NDArray[np.int64]
"""[Q, T]."""


class NeuralCoder(Protocol):
    """A model with a number of codebooks; one file at a time."""

    sample_rate: int
    """Hz, of all waveforms."""
    frame_rate: float
    """Columns of codes per second."""
    codebook_sizes: tuple[int, ...]
    """K of each row of codes."""
    about: dict[str, str]

    def encode(self, waveform: Waveform) -> Codes:
        """[S] -> [Q, T]."""
        ...

    def decode(self, codes: Codes, num_samples: int) -> Waveform:
        """[Q, T] -> [num_samples]."""
        ...


class NeuralSystem:
    """A `NeuralCoder` as a System. A frame is only known to be whole once the file has ended, so
    the delay of a stream does not show."""

    def __init__(self, name: str, coder: NeuralCoder, *, label: str, family: str) -> None:
        self.name = name
        self.label = label
        self.family = family
        self.delay = 0  # all were trained to give back each sample in its place
        self.codebook_sizes = coder.codebook_sizes
        self.about = {
            **coder.about,
            "bits": "codes stored plainly",
            "sample rate inside": f"{coder.sample_rate} Hz",
        }
        self.coder = coder

    def prepare(self, waveforms: Sequence[Waveform], sample_rate: int) -> None:
        """Nothing: in a batch, padding changes the codes of some of these models."""

    def transmit(self, waveform: Waveform, sample_rate: int) -> Transmission:
        """Raises AudioError."""
        coder, waveform = self.coder, checked(waveform, sample_rate)
        started = perf_counter()
        inside = to_rate(waveform, sample_rate, coder.sample_rate)
        codes = coder.encode(inside)
        encoded = perf_counter()
        decoded = to_rate(coder.decode(codes, len(inside)), coder.sample_rate, sample_rate)
        done = perf_counter()
        bits = codes.shape[1] * sum(map(math.log2, coder.codebook_sizes))
        return Transmission(
            fit(decoded, len(waveform)),
            math.ceil(bits),
            encoded - started,
            done - encoded,
            codes,
        )


def bandwidth_rates(config: Any) -> dict[float, int]:
    """bit/s -> codebooks, of a model that was trained at a few bandwidths, in kbit/s."""
    bits = config.codebook_nbits * config.frame_rate
    return {1000 * b: int(1000 * b // bits) for b in config.target_bandwidths}


def bandwidth_of(config: Any, num_codebooks: int) -> float:
    """kbit/s that the library asks for, where it means a number of codebooks."""
    rates = bandwidth_rates(config)
    found: float = next(b for b in config.target_bandwidths if rates[1000 * b] == num_codebooks)
    return found


def to_tensor(samples: NDArray[Any], model: Any) -> Any:
    """[...] -> tensor [1, ...] on the device of `model`."""
    import torch

    return torch.from_numpy(np.array(samples))[None].to(next(model.parameters()).device)


def to_waveform(tensor: Any, num_samples: int) -> Waveform:
    """Tensor of one waveform, whatever its dimensions -> [num_samples]."""
    return fit(tensor.detach().float().cpu().numpy().reshape(-1), num_samples)
