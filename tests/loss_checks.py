"""What every loss on sound must do, whatever it measures."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def check_gradient(loss: nn.Module, num_samples: int, *, reference_is_silent: bool) -> None:
    """It is finite, of silence and of noise, and it is the waveform's alone."""
    for waveform in (torch.zeros(2, 1, num_samples), noise(2, 1, num_samples)):
        reference = noise(2, 1, num_samples) * (not reference_is_silent)
        waveform.requires_grad_()
        reference.requires_grad_()
        loss(waveform, reference).backward()
        assert waveform.grad is not None
        assert waveform.grad.isfinite().all()
        assert reference.grad is None


def descend(
    loss: nn.Module,
    waveform: Tensor,
    reference: Tensor,
    *,
    steps: int = 10,
    learning_rate: float = 2e-3,
) -> float:
    """What is left of the loss, as a fraction, when the waveform and the loss's weights learn."""
    waveform = waveform.detach().clone().requires_grad_()
    optimizer = torch.optim.Adam([waveform, *loss.parameters()], lr=learning_rate)
    values = []
    for _ in range(steps):
        value = loss(waveform, reference)
        values.append(value.item())
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    return values[-1] / values[0]


def check_float32(loss: nn.Module, waveform: Tensor, reference: Tensor) -> None:
    """Autocast does not reach it."""
    with torch.autocast("cpu", torch.bfloat16):
        half = loss(waveform, reference.bfloat16())
    assert half.dtype == torch.float32
    assert half.item() == loss(waveform, reference.bfloat16()).item()
