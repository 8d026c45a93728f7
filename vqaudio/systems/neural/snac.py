"""SNAC, Siuzdak 2024, arXiv:2410.14411: codebooks of several frame rates, here for 24 kHz."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from vqaudio.errors import ModelError
from vqaudio.systems.neural.neural import Codes, to_tensor, to_waveform
from vqaudio.systems.neural.weights import to_device
from vqaudio.systems.system import MissingError, Waveform


class Snac:
    """A column of codes is a frame of the slowest book: a book that is n times as fast has n rows.

    Rows of the 24 kHz model: 1 of the first book, 2 of the second, 4 of the third, in their order
    of time; 11.7 columns/s.
    """

    def __init__(self, model: Any, num_codebooks: int) -> None:
        self.model = model
        self.sample_rate: int = model.sampling_rate
        self.frame_rate: float = model.sampling_rate / (model.hop_length * model.vq_strides[0])
        self.codebook_sizes = (model.codebook_size,) * sum(self._rows())
        self.about = {"mode": f"{num_codebooks} codebooks, rows {self._rows()}"}

    @staticmethod
    def load(folder: Path, device: str) -> Any:
        """Raises MissingError, ModelError."""
        try:
            from snac import SNAC  # type: ignore[import-untyped,unused-ignore]
        except ImportError:
            raise MissingError("SNAC needs snac: pip install 'vqaudio[peers]'") from None
        try:
            model = SNAC.from_pretrained(str(folder))
        except (OSError, RuntimeError, TypeError, ValueError, pickle.UnpicklingError) as error:
            line = (str(error).splitlines() or [type(error).__name__])[0]
            raise ModelError(f"{folder} holds no SNAC: {line}") from error
        return to_device(model, device)

    @staticmethod
    def rates(model: Any) -> dict[float, int]:
        """bit/s -> codebooks: all, it was not trained with less."""
        frames = sum(model.sampling_rate / model.hop_length / stride for stride in model.vq_strides)
        return {float(frames * math.log2(model.codebook_size)): model.n_codebooks}

    def encode(self, waveform: Waveform) -> Codes:
        import torch

        with torch.inference_mode():
            books = self.model.encode(to_tensor(waveform[None], self.model))
        rows = [
            book[0].cpu().numpy().reshape(-1, count).T
            for book, count in zip(books, self._rows(), strict=True)
        ]
        return np.concatenate(rows)

    def decode(self, codes: Codes, num_samples: int) -> Waveform:
        import torch

        parts = np.split(codes, np.cumsum(self._rows())[:-1])
        books = [to_tensor(part.T.reshape(-1), self.model) for part in parts]
        # Its decoder adds noise: without a seed no two decodings are alike.
        with torch.inference_mode(), torch.random.fork_rng(devices=_cuda(self.model)):
            torch.manual_seed(0)
            return to_waveform(self.model.decode(books), num_samples)

    def _rows(self) -> list[int]:
        strides: list[int] = self.model.vq_strides
        return [strides[0] // stride for stride in strides]


def _cuda(model: Any) -> list[Any]:
    """The devices whose random numbers `model` draws, as torch.random.fork_rng wants them."""
    device = next(model.parameters()).device
    return [device] if device.type == "cuda" else []
