"""The loss balancer: weights that are fractions of the gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vqaudio.quantizers.ranks import sum_over_ranks

SMALLEST_NORM = 1e-12
"""A loss that has never had a larger gradient than this stays as good as silent."""


class Balanced(NamedTuple):
    """The gradient that all losses together have with respect to the output."""

    gradient: Tensor
    """[B, 1, S] float32, without a graph."""
    norms: dict[str, Tensor]
    """Of each loss given: the norm of its own gradient in this step, a scalar, for the log."""


class Balancer(nn.Module):
    """{name: scalar loss}, [B, 1, S] -> `Balanced`.

    The balancer of EnCodec (Défossez et al. 2022, arXiv:2210.13438, section 3.4): with g_i the
    gradient of loss i with respect to the output and w_i its weight,

        gradient = R * sum_i  w_i / (sum_j w_j)  *  g_i / average of ||g_i||

    so that a weight says which fraction of the gradient is the loss's, whatever its scale. Losses
    may be left out of a step (discriminators that start late, or that are asked every other step):
    the sum over j is that of the losses given, and the averages of the others wait. Use it as

        balanced = balancer({"mel": mel, "feature": feature}, output)
        ((output * balanced.gradient).sum() + commitment).backward()

    The norm is that of an item as if the batch were that item alone, and its mean over the items is
    what is averaged: neither the batch size nor the number of ranks changes the result, for losses
    that are means over the batch. (AudioCraft's gradient is larger by the factor B.)

    The averages are exponential with `decay`, corrected for their start at zero, the same on all
    ranks, and buffers: a resumed run goes on with them. A norm that is no number leaves them
    alone, but not the gradient, so that the caller sees that the step is to be skipped.
    """

    sums: Tensor
    counts: Tensor

    def __init__(
        self, weights: Mapping[str, float], *, total_norm: float = 1.0, decay: float = 0.999
    ) -> None:
        super().__init__()
        assert weights, "nothing to balance"
        assert min(weights.values()) > 0, "a loss of no weight is not computed"
        self.weights = dict(weights)
        self.total_norm = total_norm
        self.decay = decay
        # Of the past norms and of ones, with the same decay: their ratio is the corrected average.
        self.register_buffer("sums", torch.zeros(len(weights)))
        self.register_buffer("counts", torch.zeros(len(weights)))

    def forward(self, losses: Mapping[str, Tensor], output: Tensor) -> Balanced:
        assert losses.keys() <= self.weights.keys(), f"unknown among {', '.join(losses)}"
        assert losses, "nothing to balance"
        gradients = {
            name: torch.autograd.grad(loss, output, retain_graph=True)[0].float()
            for name, loss in losses.items()
        }
        norms = self._norms(gradients)
        averages = self._average(norms)
        share = self.total_norm / sum(self.weights[name] for name in losses)
        gradient = torch.zeros_like(output, dtype=torch.float32)
        for name, average in zip(self.weights, averages, strict=True):
            if name in gradients:
                gradient += self.weights[name] * share * gradients[name] / average
        named = dict(zip(self.weights, norms, strict=True))
        return Balanced(gradient, {name: named[name] for name in losses})

    def _norms(self, gradients: Mapping[str, Tensor]) -> Tensor:
        """[losses]: the mean norm of an item's gradient over all ranks; NaN for losses left out."""
        absent = self.sums.new_full((), torch.nan)
        norms = [
            # The losses are means over the batch: times B is what the item alone would have.
            gradients[name].flatten(1).norm(dim=1).mean() * len(gradients[name])
            if name in gradients
            else absent
            for name in self.weights
        ]
        # One collective for the sums and for how many they are of.
        totals = sum_over_ranks(torch.stack([*norms, torch.ones_like(absent)]))
        return totals[:-1] / totals[-1]

    @torch.no_grad()
    def _average(self, norms: Tensor) -> Tensor:
        """[losses] -> [losses]: the moving averages after this step."""
        seen = norms.isfinite()
        # Not a product with `seen`: NaN times zero is NaN.
        self.sums.copy_(torch.where(seen, self.decay * self.sums + norms, self.sums))
        self.counts.copy_(torch.where(seen, self.decay * self.counts + 1, self.counts))
        return (self.sums / self.counts.clamp(min=1)).clamp(min=SMALLEST_NORM)
