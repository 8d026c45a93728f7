"""Mimi, Défossez et al. 2024, arXiv:2410.00037: the codec of Moshi, at 24 kHz."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from vqaudio.peers.network import load_transformers


class Mimi:
    """12.5 frames/s; Moshi uses 8 of the 32 codebooks, which is 1100 bit/s."""

    label: ClassVar[str] = "Mimi"
    weights: ClassVar[str] = "model.safetensors"

    def __init__(self, model: Any) -> None:
        config = model.config
        self.model = model
        self.sample_rate: int = config.sampling_rate
        self.hop_length = round(config.sampling_rate / config.frame_rate)
        self.codebook_sizes = (config.codebook_size,) * config.num_quantizers
        # The first, of meaning, is nothing to listen to by itself.
        self.trained = tuple(range(2, config.num_quantizers + 1))
        self.min_codebooks = 1

    @classmethod
    def load(cls, folder: Path) -> Mimi:
        """Raises MissingError, ModelError."""
        return cls(load_transformers("MimiModel", folder))

    def encode(self, waveform: Tensor, num_codebooks: int) -> Tensor:
        codes: Tensor = self.model.encode(waveform, num_quantizers=num_codebooks).audio_codes
        return codes

    def decode(self, codes: Tensor) -> Tensor:
        waveform: Tensor = self.model.decode(codes).audio_values
        return waveform
