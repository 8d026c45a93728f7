"""EnCodec, Défossez et al. 2022, arXiv:2210.13438: the models for mono sound, such as 24 kHz."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from vqaudio.errors import ModelError
from vqaudio.peers.bandwidths import bandwidth_for, codebooks_of
from vqaudio.peers.network import load_transformers


class Encodec:
    """75 frames/s; trained at a few bandwidths."""

    label: ClassVar[str] = "EnCodec"
    weights: ClassVar[str] = "model.safetensors"

    def __init__(self, model: Any) -> None:
        config = model.config
        self.model = model
        self.sample_rate: int = config.sampling_rate
        self.hop_length: int = config.hop_length
        self.trained = tuple(codebooks_of(config).values())
        self.codebook_sizes = (config.codebook_size,) * max(self.trained)
        self.min_codebooks = 1

    @classmethod
    def load(cls, folder: Path) -> Encodec:
        """Raises MissingError, ModelError."""
        model = load_transformers("EncodecModel", folder)
        config = model.config
        if config.audio_channels != 1 or config.normalize or config.chunk_length_s is not None:
            raise ModelError(f"{folder} is no EnCodec for mono sound in one piece: take the 24 kHz")
        return cls(model)

    def encode(self, waveform: Tensor, num_codebooks: int) -> Tensor:
        bandwidth = bandwidth_for(self.model.config, num_codebooks)
        codes: Tensor = self.model.encode(waveform, bandwidth=bandwidth).audio_codes[0]
        return codes

    def decode(self, codes: Tensor) -> Tensor:
        waveform: Tensor = self.model.decode(codes[None], [None]).audio_values
        return waveform
