"""The waveform loss."""

from __future__ import annotations

from torch import Tensor


def waveform_loss(waveform: Tensor, reference: Tensor) -> Tensor:
    """[B, 1, S], [B, 1, S] -> scalar >= 0: mean |x - y| over samples, in float32.

    The time-domain loss of EnCodec (Défossez et al. 2022, arXiv:2210.13438, section 3.4). It ties
    the phase down, and most of all that of the loud low frequencies. The gradient is that of the
    first argument.

    >>> import torch
    >>> waveform_loss(torch.full((2, 1, 8), 0.5), torch.zeros(2, 1, 8)).item()
    0.5
    """
    return (waveform.float() - reference.detach().float()).abs().mean()
