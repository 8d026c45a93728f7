"""A network of others with the manners of our own codec."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from vqaudio.codec import Context
from vqaudio.codec.codec import exact_float32
from vqaudio.peers.network import Network


class PeerCodec(nn.Module):
    """Waveforms [B, 1, S] to codes [B, Q, T] and back; T = ceil(S / hop_length).

    The items of a batch are computed one after the other, each as long as it is: nobody else's
    codec says how far its layers look, and in a batch some of them hear the padding (Mimi:
    transformers issue 43377).
    """

    encoder_context: Context | None = None
    decoder_context: Context | None = None

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.model = network.model

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return self.network.sample_rate

    @property
    def hop_length(self) -> int:
        """Samples per frame."""
        return self.network.hop_length

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop_length

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """K of each level."""
        return self.network.codebook_sizes

    @property
    def min_codebooks(self) -> int:
        """The fewest levels that it encodes and decodes."""
        return self.network.min_codebooks

    def bitrate(self, num_codebooks: int | None = None) -> float:
        """bit/s of the first `num_codebooks` levels (all when None), codes stored plainly."""
        return self.frame_rate * sum(math.log2(k) for k in self.codebook_sizes[:num_codebooks])

    @torch.inference_mode()
    def encode(
        self,
        waveform: Tensor,
        num_samples: Tensor | None = None,
        *,
        num_codebooks: int | None = None,
    ) -> Tensor:
        """[B, 1, S], [B] -> [B, Q, T] int64; samples beyond an item's own count are padding."""
        rows = num_codebooks or len(self.codebook_sizes)
        items = []
        with exact_float32(waveform.device):
            for item, length in zip(waveform, _lengths(waveform, num_samples), strict=True):
                codes = self.network.encode(item[None, :, :length], rows)
                items.append(codes[0, :rows, : -(-length // self.hop_length)].T)
        return pad_sequence(items, batch_first=True).transpose(1, 2)

    @torch.inference_mode()
    def decode(self, codes: Tensor, num_frames: Tensor | None = None) -> Tensor:
        """[B, n, T], [B] -> [B, 1, T * hop_length] from the first n levels."""
        decoded = codes.new_zeros(
            (len(codes), 1, codes.shape[-1] * self.hop_length), dtype=torch.float32
        )
        with exact_float32(codes.device):
            for place, length in enumerate(_lengths(codes, num_frames)):
                samples = self.network.decode(codes[place : place + 1, :, :length]).flatten()
                # The decoder of DAC gives a few samples less than its encoder took.
                samples = samples[: length * self.hop_length]
                decoded[place, 0, : len(samples)] = samples
        return decoded


def _lengths(batch: Tensor, lengths: Tensor | None) -> list[int]:
    if lengths is None:
        return [batch.shape[-1]] * len(batch)
    return [int(length) for length in lengths]
