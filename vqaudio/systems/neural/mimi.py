"""Mimi, Défossez et al. 2024, arXiv:2410.00037: the codec of Moshi, at 24 kHz."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from vqaudio.systems.neural.neural import Codes, to_tensor, to_waveform
from vqaudio.systems.neural.weights import load_transformers
from vqaudio.systems.system import Waveform


class Mimi:
    """12.5 frames/s; Moshi uses 8 of the 32 codebooks, which is 1100 bit/s."""

    def __init__(self, model: Any, num_codebooks: int) -> None:
        config = model.config
        self.model = model
        self.sample_rate: int = config.sampling_rate
        self.frame_rate: float = config.frame_rate
        self.codebook_sizes = (config.codebook_size,) * num_codebooks
        self.about = {"mode": f"{num_codebooks} of {config.num_quantizers} codebooks"}

    @staticmethod
    def load(folder: Path, device: str) -> Any:
        """Raises MissingError, ModelError."""
        return load_transformers("MimiModel", folder, device)

    @staticmethod
    def rates(model: Any) -> dict[float, int]:
        """bit/s -> codebooks. The first, of meaning, is nothing to listen to by itself."""
        config = model.config
        bits = config.frame_rate * math.log2(config.codebook_size)
        return {n * bits: n for n in range(2, config.num_quantizers + 1)}

    def encode(self, waveform: Waveform) -> Codes:
        import torch

        # One file, unpadded: in a batch its transformer would hear the padding (transformers 5).
        with torch.inference_mode():
            found = self.model.encode(
                to_tensor(waveform[None], self.model), num_quantizers=len(self.codebook_sizes)
            )
            codes: Codes = found.audio_codes[0].cpu().numpy()
            return codes

    def decode(self, codes: Codes, num_samples: int) -> Waveform:
        import torch

        with torch.inference_mode():
            found = self.model.decode(to_tensor(codes, self.model))
            return to_waveform(found.audio_values, num_samples)
