"""X-Codec, Ye et al. 2024, arXiv:2408.17175: acoustic and HuBERT features in one, at 16 kHz."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vqaudio.systems.carrying import fit, whole_frames
from vqaudio.systems.neural.neural import (
    Codes,
    bandwidth_of,
    bandwidth_rates,
    to_tensor,
    to_waveform,
)
from vqaudio.systems.neural.weights import load_transformers
from vqaudio.systems.system import Waveform

MIN_FRAMES = 3
"""Less is shorter than the kernels of its encoders."""


class XCodec:
    """50 frames/s; only the bandwidths that it was trained at."""

    def __init__(self, model: Any, num_codebooks: int) -> None:
        config = model.config
        self.model = model
        self.sample_rate: int = config.sample_rate
        self.frame_rate: float = config.sample_rate / config.hop_length
        self.codebook_sizes = (config.codebook_size,) * num_codebooks
        self._bandwidth = bandwidth_of(config, num_codebooks)
        self.about = {"mode": f"bandwidth {self._bandwidth:g}, {num_codebooks} codebooks"}

    @staticmethod
    def load(folder: Path, device: str) -> Any:
        """Raises MissingError, ModelError."""
        return load_transformers("XcodecModel", folder, device)

    @staticmethod
    def rates(model: Any) -> dict[float, int]:
        """bit/s -> codebooks."""
        return bandwidth_rates(model.config)

    def encode(self, waveform: Waveform) -> Codes:
        import torch

        hop = self.model.config.hop_length
        padded = fit(waveform, max(len(whole_frames(waveform, hop)), MIN_FRAMES * hop))
        with torch.inference_mode():
            samples = to_tensor(padded[None], self.model)
            found = self.model.encode(samples, bandwidth=self._bandwidth)
            codes: Codes = found.audio_codes[0].cpu().numpy()
            return codes

    def decode(self, codes: Codes, num_samples: int) -> Waveform:
        import torch

        with torch.inference_mode():
            found = self.model.decode(to_tensor(codes, self.model))
            return to_waveform(found.audio_values, num_samples)
