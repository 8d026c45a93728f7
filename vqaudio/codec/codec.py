"""The codec, which its `forward` draws."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vqaudio.codec.config import CodecConfig, FramesConfig, WaveformConfig
from vqaudio.codec.frames import FramesDecoder, FramesEncoder
from vqaudio.codec.quantizing import make_quantizer
from vqaudio.codec.waveform import WaveformDecoder, WaveformEncoder
from vqaudio.layers import Layer, Lengths, Span


class CodecOutput(NamedTuple):
    """What training needs of one pass."""

    waveform: Tensor
    """[B, 1, T * hop_length], the last frame whole."""
    coarse: Tensor
    """[B, T, D]: the quantized latents of the first level alone."""
    codes: Tensor
    """[B, Q, T] int64; -1 where a level was not in use."""
    commitment: Tensor
    """Scalar."""
    codebook_loss: Tensor
    """Scalar."""
    restarts: Tensor
    """[Q] int64."""


class Context(NamedTuple):
    """Frames beside a run of frames that its computation looks at."""

    left: int
    right: int


class Codec(nn.Module):
    """Waveforms [B, 1, S] to codes [B, Q, T] and back; T = ceil(S / hop_length)."""

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder, self.decoder = _make_backbone(config)
        self.quantizer = make_quantizer(config.quantizer)

    def forward(self, waveform: Tensor, num_samples: Tensor | None = None) -> CodecOutput:
        """[B, 1, S], [B]: one training pass, or in evaluation mode encode and decode in one.

        With `num_samples`, samples beyond an item's own count are padding: they change nothing.
        """
        num_frames, mask = self.frames(num_samples, waveform.shape[-1])
        latents = self.encoder(waveform, num_samples)
        quantized = self.quantizer(latents.transpose(1, 2), mask)
        decoded = self.decoder(quantized.latents.transpose(1, 2), num_frames)
        codes = quantized.codes.transpose(1, 2)
        return CodecOutput(decoded, quantized.coarse, codes, *quantized[3:])

    def frames(
        self, num_samples: Tensor | None, longest: int
    ) -> tuple[Tensor | None, Tensor | None]:
        """Frames per item [B], and which frames of the longest one each item has [B, T]."""
        if num_samples is None:
            return None, None
        num_frames = -(-num_samples // self.hop_length)
        frames = torch.arange(-(-longest // self.hop_length), device=num_samples.device)
        return num_frames, frames < num_frames[:, None]

    def encode(
        self,
        waveform: Tensor,
        num_samples: Lengths = None,
        *,
        num_codebooks: int | None = None,
    ) -> Tensor:
        """[B, 1, S], [B] -> [B, Q, T] int64.

        With `num_samples`, samples beyond an item's own count are padding, and so are the codes
        of frames beyond ceil(num_samples / hop_length). With a Flow, a part [B, 1, n * hop_length]
        of each sound gives n codes, those of the frames that its lag says.
        """
        return self.frozen_encode(num_codebooks)(waveform, num_samples)

    def frozen_encode(
        self, num_codebooks: int | None = None
    ) -> Callable[[Tensor, Lengths], Tensor]:
        """`encode` for a model that stays: short parts of sounds are encoded in less time."""
        quantize = self.quantizer.frozen_encode(num_codebooks)

        @torch.inference_mode()
        def encode(waveform: Tensor, num_samples: Lengths) -> Tensor:
            with exact_float32(waveform.device):
                latents = self.encoder(waveform, num_samples)
                return quantize(latents.transpose(1, 2)).transpose(1, 2)

        return encode

    @torch.inference_mode()
    def decode(self, codes: Tensor, num_frames: Lengths = None) -> Tensor:
        """[B, n, T], [B] -> [B, 1, T * hop_length] from the first n levels.

        With a Flow, T frames of each sound give as many samples, later as its lag says.
        """
        with exact_float32(codes.device):
            latents = self.quantizer.decode(codes.transpose(1, 2))
            waveform: Tensor = self.decoder(latents.transpose(1, 2), num_frames)
            return waveform

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return self.config.sample_rate

    @property
    def hop_length(self) -> int:
        """Samples per frame."""
        return self.config.backbone.hop_length

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop_length

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        return self.quantizer.codebook_sizes

    @property
    def min_codebooks(self) -> int:
        """The fewest levels that it encodes and decodes."""
        return 1

    def bitrate(self, num_codebooks: int | None = None) -> float:
        """bit/s of the first `num_codebooks` levels (all when None), codes stored plainly."""
        return self.frame_rate * sum(math.log2(k) for k in self.codebook_sizes[:num_codebooks])

    @property
    def receptive_field(self) -> Span:
        """The samples that frame 0 is computed from; frame t from those t * hop_length later."""
        return _as_layer(self.encoder).needs(Span(0, 0))

    @property
    def encoder_context(self) -> Context:
        """Frames of sound that encoding some frames needs beside them."""
        return Context(
            left=-(self.receptive_field.first // self.hop_length),
            right=self.receptive_field.last // self.hop_length,
        )

    @property
    def decoder_context(self) -> Context:
        """Frames of codes that decoding some frames needs beside them."""
        span = _as_layer(self.decoder).needs(Span(0, self.hop_length - 1))
        return Context(left=-span.first, right=span.last)

    @property
    def latency(self) -> float:
        """Seconds from a sample's arrival until it can be played, computing not counted.

        One frame has to be full, and encoder and decoder wait for the frames they look ahead.
        """
        lookahead = self.receptive_field.last - (self.hop_length - 1)
        frames_ahead = self.decoder_context.right
        return (self.hop_length + lookahead + frames_ahead * self.hop_length) / self.sample_rate


@contextmanager
def exact_float32(device: torch.device) -> Iterator[None]:
    """float32 with all its digits, whatever the program around has chosen.

    Codes must not depend on who calls: autocast changes one in ten of them, and TF32, which
    convolutions on CUDA use unless told otherwise, one in a hundred.
    """
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with (
            torch.autocast(device.type, enabled=False),
            torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False),
        ):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)


def _make_backbone(config: CodecConfig) -> tuple[nn.Module, nn.Module]:
    dim, causal = config.quantizer.dim, config.causal
    match config.backbone:
        case FramesConfig() as backbone:
            return (
                FramesEncoder(backbone, dim=dim, causal=causal),
                FramesDecoder(backbone, dim=dim, causal=causal),
            )
        case WaveformConfig() as backbone:
            return (
                WaveformEncoder(backbone, dim=dim, causal=causal),
                WaveformDecoder(backbone, dim=dim, causal=causal),
            )


def _as_layer(module: nn.Module) -> Layer:
    return module  # type: ignore[return-value]
