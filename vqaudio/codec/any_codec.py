"""What a tokenizer needs of a codec, ours or anyone's."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from vqaudio.codec.codec import Context


class AnyCodec(Protocol):
    """Waveforms [B, 1, S] to codes [B, Q, T] and back; T = ceil(S / hop_length)."""

    @property
    def sample_rate(self) -> int:
        """Hz."""
        ...

    @property
    def hop_length(self) -> int:
        """Samples per frame."""
        ...

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        ...

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """K of each level."""
        ...

    @property
    def min_codebooks(self) -> int:
        """The fewest levels that it encodes and decodes."""
        ...

    @property
    def encoder_context(self) -> Context | None:
        """Frames of sound that encoding some frames needs beside them.

        None where that is not known: a sound is computed as a whole, and by itself.
        """
        ...

    @property
    def decoder_context(self) -> Context | None:
        """Frames of codes that decoding some frames needs beside them; None as above."""
        ...

    def bitrate(self, num_codebooks: int | None = None) -> float:
        """bit/s of the first `num_codebooks` levels (all when None), codes stored plainly."""
        ...

    def encode(
        self,
        waveform: Tensor,
        num_samples: Tensor | None = None,
        *,
        num_codebooks: int | None = None,
    ) -> Tensor:
        """[B, 1, S], [B] -> [B, Q, T] int64; samples beyond an item's own count are padding."""
        ...

    def decode(self, codes: Tensor, num_frames: Tensor | None = None) -> Tensor:
        """[B, n, T], [B] -> [B, 1, T * hop_length] from the first n levels."""
        ...

    def to(self, device: torch.device) -> AnyCodec:
        """Itself, there."""
        ...

    def eval(self) -> AnyCodec:
        """Itself, to be used."""
        ...
