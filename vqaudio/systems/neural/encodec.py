"""EnCodec, Défossez et al. 2022, arXiv:2210.13438: the model for 24 kHz, mono."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vqaudio.errors import ModelError
from vqaudio.systems.neural.neural import (
    Codes,
    bandwidth_of,
    bandwidth_rates,
    to_tensor,
    to_waveform,
)
from vqaudio.systems.neural.weights import load_transformers
from vqaudio.systems.system import Waveform


class Encodec:
    """75 frames/s; only the bandwidths that it was trained at."""

    def __init__(self, model: Any, num_codebooks: int) -> None:
        config = model.config
        self.model = model
        self.sample_rate: int = config.sampling_rate
        self.frame_rate: float = config.sampling_rate / config.hop_length
        self.codebook_sizes = (config.codebook_size,) * num_codebooks
        self._bandwidth = bandwidth_of(config, num_codebooks)
        self.about = {"mode": f"bandwidth {self._bandwidth:g}, {num_codebooks} codebooks"}

    @staticmethod
    def load(folder: Path, device: str) -> Any:
        """Raises MissingError, ModelError."""
        model = load_transformers("EncodecModel", folder, device)
        config = model.config
        if config.audio_channels != 1 or config.normalize or config.chunk_length_s is not None:
            raise ModelError(f"{folder} is no EnCodec for mono sound in one piece: take the 24 kHz")
        return model

    @staticmethod
    def rates(model: Any) -> dict[float, int]:
        """bit/s -> codebooks."""
        return bandwidth_rates(model.config)

    def encode(self, waveform: Waveform) -> Codes:
        import torch

        with torch.inference_mode():
            samples = to_tensor(waveform[None], self.model)
            found = self.model.encode(samples, bandwidth=self._bandwidth)
            codes: Codes = found.audio_codes[0, 0].cpu().numpy()
            return codes

    def decode(self, codes: Codes, num_samples: int) -> Waveform:
        import torch

        with torch.inference_mode():
            chunks = to_tensor(codes[None], self.model)
            return to_waveform(self.model.decode(chunks, [None]).audio_values, num_samples)
