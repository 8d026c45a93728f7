"""DAC, Kumar et al. 2023, arXiv:2306.06546: models for 16, 24 and 44.1 kHz."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from vqaudio.systems.carrying import whole_frames
from vqaudio.systems.neural.neural import Codes, to_tensor, to_waveform
from vqaudio.systems.neural.weights import load_transformers
from vqaudio.systems.system import Waveform


class Dac:
    """Any number of codebooks: it was trained with quantizer dropout."""

    def __init__(self, model: Any, num_codebooks: int) -> None:
        config = model.config
        self.model = model
        self.sample_rate: int = config.sampling_rate
        self.frame_rate: float = config.sampling_rate / config.hop_length
        self.codebook_sizes = (config.codebook_size,) * num_codebooks
        self.about = {"mode": f"{num_codebooks} of {config.n_codebooks} codebooks"}

    @staticmethod
    def load(folder: Path, device: str) -> Any:
        """Raises MissingError, ModelError."""
        return load_transformers("DacModel", folder, device)

    @staticmethod
    def rates(model: Any) -> dict[float, int]:
        """bit/s -> codebooks."""
        config = model.config
        bits = config.sampling_rate / config.hop_length * math.log2(config.codebook_size)
        return {n * bits: n for n in range(1, config.n_codebooks + 1)}

    def encode(self, waveform: Waveform) -> Codes:
        import torch

        # To whole frames, as the library's feature extractor does.
        padded = whole_frames(waveform, self.model.config.hop_length)
        with torch.inference_mode():
            found = self.model.encode(
                to_tensor(padded[None], self.model), n_quantizers=len(self.codebook_sizes)
            )
            codes: Codes = found.audio_codes[0].cpu().numpy()
            return codes

    def decode(self, codes: Codes, num_samples: int) -> Waveform:
        import torch

        with torch.inference_mode():
            found = self.model.decode(audio_codes=to_tensor(codes, self.model))
            return to_waveform(found.audio_values, num_samples)
