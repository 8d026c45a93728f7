"""X-Codec, Ye et al. 2024, arXiv:2408.17175: acoustic and HuBERT features in one, at 16 kHz."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from vqaudio.peers.bandwidths import bandwidth_for, codebooks_of
from vqaudio.peers.network import load_transformers, whole_frames

MIN_FRAMES = 3
"""Less is shorter than the kernels of its encoders."""


class XCodec:
    """50 frames/s; trained at a few bandwidths."""

    label: ClassVar[str] = "X-Codec"
    weights: ClassVar[str] = "model.safetensors"

    def __init__(self, model: Any) -> None:
        config = model.config
        self.model = model
        self.sample_rate: int = config.sample_rate
        self.hop_length = int(config.hop_length)
        self.trained = tuple(codebooks_of(config).values())
        self.codebook_sizes = (config.codebook_size,) * max(self.trained)
        self.min_codebooks = 1

    @classmethod
    def load(cls, folder: Path) -> XCodec:
        """Raises MissingError, ModelError."""
        return cls(load_transformers("XcodecModel", folder))

    def encode(self, waveform: Tensor, num_codebooks: int) -> Tensor:
        padded = whole_frames(waveform, self.hop_length, at_least=MIN_FRAMES)
        bandwidth = bandwidth_for(self.model.config, num_codebooks)
        codes: Tensor = self.model.encode(padded, bandwidth=bandwidth).audio_codes
        return codes

    def decode(self, codes: Tensor) -> Tensor:
        waveform: Tensor = self.model.decode(codes).audio_values
        return waveform
