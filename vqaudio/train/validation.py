"""How well the averaged model does on held-out speech, while it is trained."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from vqaudio.codec import Codec
from vqaudio.losses import MultiScaleMelLoss
from vqaudio.quantizers import CodebookUsage, count_codes


class Validation(NamedTuple):
    """Means over the held-out crops."""

    mel: float
    """The mel loss with all levels."""
    mel_quarter_rate: float
    """With the first quarter of them, at least one."""
    quarter: int
    """How many levels that is."""
    usage: list[CodebookUsage]
    """Per level."""
    original: Tensor
    """[1, S]: one of the crops."""
    decoded: Tensor
    """[1, S]: the same after all levels."""
    sample_rate: int
    """Of both, in Hz."""


@torch.inference_mode()
def validate(codec: Codec, held_out: Tensor, mel_loss: MultiScaleMelLoss) -> Validation:
    """held_out [N, 1, S] on CPU."""
    codec.eval()
    device = next(codec.parameters()).device
    quarter = max(len(codec.codebook_sizes) // 4, 1)
    counts = [torch.zeros(size, dtype=torch.int64) for size in codec.codebook_sizes]
    full_loss = quarter_loss = 0.0
    for waveform in torch.split(held_out.to(device), 4):
        codes = codec.encode(waveform)
        decoded = codec.decode(codes)[..., : waveform.shape[-1]]
        coarse = codec.decode(codes[:, :quarter])[..., : waveform.shape[-1]]
        full_loss += mel_loss(decoded, waveform).item() * len(waveform)
        quarter_loss += mel_loss(coarse, waveform).item() * len(waveform)
        for level, total in enumerate(counts):
            total += count_codes(codes[:, level], len(total)).cpu()
    return Validation(
        full_loss / len(held_out),
        quarter_loss / len(held_out),
        quarter,
        [CodebookUsage.from_counts(total) for total in counts],
        waveform[0].cpu(),
        decoded[0].cpu(),
        codec.sample_rate,
    )
