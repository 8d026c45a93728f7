"""DAC, Kumar et al. 2023, arXiv:2306.06546: models for 16, 24 and 44.1 kHz."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from vqaudio.peers.network import load_transformers, whole_frames


class Dac:
    """Any number of codebooks: it was trained with quantizer dropout."""

    label: ClassVar[str] = "DAC"
    weights: ClassVar[str] = "model.safetensors"

    def __init__(self, model: Any) -> None:
        config = model.config
        self.model = model
        self.sample_rate: int = config.sampling_rate
        self.hop_length = int(config.hop_length)
        self.codebook_sizes = (config.codebook_size,) * config.n_codebooks
        self.trained = tuple(range(1, config.n_codebooks + 1))
        self.min_codebooks = 1

    @classmethod
    def load(cls, folder: Path) -> Dac:
        """Raises MissingError, ModelError."""
        return cls(load_transformers("DacModel", folder))

    def encode(self, waveform: Tensor, num_codebooks: int) -> Tensor:
        # To whole frames, as the library's feature extractor does.
        padded = whole_frames(waveform, self.hop_length)
        codes: Tensor = self.model.encode(padded, n_quantizers=num_codebooks).audio_codes
        return codes

    def decode(self, codes: Tensor) -> Tensor:
        waveform: Tensor = self.model.decode(audio_codes=codes).audio_values
        return waveform
