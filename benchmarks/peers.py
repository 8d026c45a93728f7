"""The systems that benchmarks/speed.py compares, each built at its official size.

The peers come from the libraries of their authors, or from transformers, with random weights: time
and memory do not depend on what the weights are, and nothing is fetched. Each builder imports what
it needs itself, so that a process pays for its own system only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

OURS = "vqaudio"


class System(NamedTuple):
    """A tokenizer: [B, S] -> codes of whatever type, and back."""

    module: nn.Module
    sample_rate: int
    """Hz."""
    frame_rates: tuple[float, ...]
    """Of each codebook, per second."""
    codebook_sizes: tuple[int, ...]
    encode: Callable[[Tensor], Any]
    decode: Callable[[Any], Any]

    @property
    def tokens_per_second(self) -> float:
        return sum(self.frame_rates)

    @property
    def bitrate(self) -> float:
        """bit/s, codes stored plainly."""
        books = zip(self.frame_rates, self.codebook_sizes, strict=True)
        return sum(rate * math.log2(size) for rate, size in books)


def build_ours(model: str | None, device: str) -> System:
    """The tokenizer as users have it: sound is cut into pieces, and these are computed."""
    import vqaudio

    tokenizer = vqaudio.load(model, device=device)
    codec = tokenizer.codec
    assert isinstance(codec, nn.Module)
    return System(
        codec,
        codec.sample_rate,
        (codec.frame_rate,) * len(codec.codebook_sizes),
        codec.codebook_sizes,
        lambda waveforms: tokenizer.encode_batch(list(waveforms)),
        lambda batch: [tokenizer.decode(tokens) for tokens in batch],
    )


def build_encodec() -> System:
    """24 kHz at 6 kbit/s: 8 of 32 codebooks."""
    from transformers import EncodecConfig, EncodecModel

    model = EncodecModel(EncodecConfig())  # what it is without arguments is the 24 kHz model
    return System(
        model,
        24000,
        (75.0,) * 8,
        (1024,) * 8,
        lambda waveforms: model.encode(waveforms[:, None], bandwidth=6.0).audio_codes,
        lambda codes: model.decode(codes, [None]).audio_values,
    )


def build_mimi() -> System:
    """8 of 32 codebooks, as Moshi uses it."""
    from transformers import MimiConfig, MimiModel

    model = MimiModel(MimiConfig())
    return System(
        model,
        24000,
        (12.5,) * 8,
        (2048,) * 8,
        lambda waveforms: model.encode(waveforms[:, None], num_quantizers=8).audio_codes,
        lambda codes: model.decode(codes).audio_values,
    )


def build_dac() -> System:
    """16 kHz, all 12 codebooks."""
    from transformers import DacConfig, DacModel

    strides = [2, 4, 5, 8]
    config = DacConfig(
        sampling_rate=16000,
        downsampling_ratios=strides,
        upsampling_ratios=strides[::-1],
        hop_length=math.prod(strides),
        n_codebooks=12,
    )
    model = DacModel(config)
    return System(
        model,
        16000,
        (50.0,) * 12,
        (1024,) * 12,
        lambda waveforms: model.encode(waveforms[:, None]).audio_codes,
        lambda codes: model.decode(audio_codes=codes).audio_values,
    )


def build_snac() -> System:
    """24 kHz: three codebooks, of 12, 23 and 47 frames/s."""
    from snac import SNAC

    strides, books = [2, 4, 8, 8], [4, 2, 1]
    model = SNAC(
        sampling_rate=24000,
        encoder_dim=48,
        encoder_rates=strides,
        decoder_dim=1024,
        decoder_rates=strides[::-1],
        attn_window_size=None,
        codebook_size=4096,
        vq_strides=books,
    )
    return System(
        model,
        24000,
        tuple(24000 / math.prod(strides) / stride for stride in books),
        (4096,) * 3,
        lambda waveforms: model.encode(waveforms[:, None]),
        model.decode,
    )


def build_wavtokenizer() -> System:
    """24 kHz, 40 frames/s, one codebook. Put together from parts, for want of a library.

    Ji et al. 2024, arXiv:2408.16532: the encoder of EnCodec (as transformers has it), the backbone
    of Vocos (as vocos has it) behind four convolution blocks with attention in their midst, which
    are written below. The adaptive norms of the backbone, of which it uses one, are plain ones.
    """
    from transformers import EncodecConfig

    model = WavTokenizerLike(
        EncodecConfig(
            upsampling_ratios=[6, 5, 5, 4],
            hidden_size=512,
            codebook_dim=512,
            codebook_size=4096,
            use_causal_conv=False,
        )
    )
    return System(model, 24000, (40.0,), (4096,), model.encode, model.decode)


class WavTokenizerLike(nn.Module):
    def __init__(self, config: Any) -> None:
        from transformers.models.encodec import modeling_encodec as encodec
        from vocos.heads import ISTFTHead
        from vocos.models import VocosBackbone

        super().__init__()
        hop, width = math.prod(config.upsampling_ratios), 768
        self.encoder = encodec.EncodecEncoder(config)
        self.quantizer = encodec.EncodecVectorQuantization(config)
        self.widen = nn.Conv1d(config.hidden_size, width, 7, padding=3)
        convolve = [ConvBlock(width) for _ in range(4)]
        self.convolve = nn.Sequential(*convolve[:2], AttentionBlock(width), *convolve[2:])
        self.backbone = VocosBackbone(width, width, intermediate_dim=3 * width, num_layers=12)
        self.backbone.embed = nn.Identity()  # `widen` stands before the convolutions here
        self.head = ISTFTHead(width, n_fft=4 * hop, hop_length=hop)

    def encode(self, waveforms: Tensor) -> Tensor:
        """[B, S] -> [B, T]."""
        codes: Tensor = self.quantizer.encode(self.encoder(waveforms[:, None]))
        return codes

    def decode(self, codes: Tensor) -> Tensor:
        """[B, T] -> [B, S]."""
        x = self.convolve(self.widen(self.quantizer.decode(codes)))
        waveforms: Tensor = self.head(self.backbone(x))
        return waveforms


class ConvBlock(nn.Module):
    """[B, C, T] -> [B, C, T]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = [nn.GroupNorm(32, width), nn.SiLU(), nn.Conv1d(width, width, 3, padding=1)]
        again = [nn.GroupNorm(32, width), nn.SiLU(), nn.Conv1d(width, width, 3, padding=1)]
        self.layers = nn.Sequential(*half, *again)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return x + y


class AttentionBlock(nn.Module):
    """[B, C, T] -> [B, C, T], over all of T."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(32, width)
        self.attention = nn.MultiheadAttention(width, num_heads=1, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x).transpose(1, 2)
        attended: Tensor = self.attention(y, y, y, need_weights=False)[0]
        return x + attended.transpose(1, 2)


PEERS: dict[str, Callable[[], System]] = {
    "EnCodec 24 kHz": build_encodec,
    "Mimi": build_mimi,
    "DAC 16 kHz": build_dac,
    "SNAC 24 kHz": build_snac,
    "WavTokenizer-like 40 Hz": build_wavtokenizer,
}


def build(name: str, *, model: str | None, device: str) -> System:
    """The system of a name, ready to evaluate; ours with the weights of `model`.

    Raises ImportError where the library of a peer is not installed.
    """
    if name == OURS:
        return build_ours(model, device)
    torch.manual_seed(0)
    system = PEERS[name]()
    system.module.eval().to(device)
    return system
