"""SNAC, Siuzdak 2024, arXiv:2410.14411: codebooks of several frame rates."""

from __future__ import annotations

import json
import math
import pickle
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from vqaudio.errors import MissingError, ModelError
from vqaudio.hub import first_line


class Snac:
    """A column of codes is what the model pads a sound to: a book that is n times as fast as the
    columns has n rows, and there is no leaving one out.

    Rows of the 24 kHz model: 1 of the first book, 2 of the second, 4 of the third, in their order
    of time; 11.7 columns/s. Models with attention have its window in a column.
    """

    label: ClassVar[str] = "SNAC"
    weights: ClassVar[str] = "pytorch_model.bin"

    def __init__(self, model: Any) -> None:
        self.model = model
        column = math.lcm(model.vq_strides[0], model.attn_window_size or 1)
        self.rows = [column // stride for stride in model.vq_strides]
        self.sample_rate: int = model.sampling_rate
        self.hop_length = int(model.hop_length) * column
        self.codebook_sizes = (model.codebook_size,) * sum(self.rows)
        self.min_codebooks = sum(self.rows)
        self.trained: tuple[int, ...] = (sum(self.rows),)

    @classmethod
    def load(cls, folder: Path) -> Snac:
        """Raises MissingError, ModelError."""
        try:
            from snac import SNAC  # type: ignore[import-untyped,unused-ignore]
        except ImportError:
            raise MissingError("SNAC needs snac: pip install 'vqaudio[peers]'") from None
        try:
            model = SNAC(**json.loads((folder / "config.json").read_text(encoding="utf-8")))
            # Not by its own from_pretrained: the file is a pickle, of which only tensors are read.
            weights = torch.load(folder / cls.weights, map_location="cpu", weights_only=True)
            model.load_state_dict(weights)
        except (
            *(AttributeError, EOFError, OSError, RuntimeError, TypeError, ValueError),
            pickle.UnpicklingError,
        ) as error:
            raise ModelError(f"{folder} holds no SNAC: {first_line(error)}") from error
        return cls(model.eval())

    def encode(self, waveform: Tensor, num_codebooks: int) -> Tensor:
        books = self.model.encode(waveform)
        rows = [
            book.unflatten(1, (-1, count)).mT for book, count in zip(books, self.rows, strict=True)
        ]
        return torch.cat(rows, dim=1)

    def decode(self, codes: Tensor) -> Tensor:
        books = [part.mT.flatten(1) for part in torch.split(codes, self.rows, dim=1)]
        # Its decoder adds noise: without a seed no two decodings are alike.
        # Only what is put back may be seeded: not torch.manual_seed, which reaches all devices.
        with torch.random.fork_rng(devices=[codes.device] if codes.is_cuda else []):
            if codes.is_cuda:
                torch.cuda.default_generators[codes.device.index or 0].manual_seed(0)
            else:
                torch.default_generator.manual_seed(0)
            waveform: Tensor = self.model.decode(books)
            return waveform
