"""The probes: small enough that what they get right must have been easy to find in their input.

    frames [B, T, F] -> embed -> [B, T, D] -> head -> [B, classes]

Two ways to embed, of the same width, and two heads, the same for both.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

WIDTH = 64
"""D."""
DROPOUT = 0.2


class CodesInput(nn.Module):
    """One vector per code, learned by the probe; those of a frame's levels are added.

    All begin at zero: a code that training never showed says nothing, and renaming the codes
    changes nothing.
    """

    def __init__(self, num_codes: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.zeros(num_codes, WIDTH))

    def forward(self, codes: Tensor) -> Tensor:
        """[B, T, Q] int64 -> [B, T, D]."""
        batch, frames, levels = codes.shape
        flat = codes.reshape(batch * frames, levels)
        return nn.functional.embedding_bag(flat, self.vectors, mode="sum").view(
            batch, frames, WIDTH
        )


class MelInput(nn.Linear):
    """A projection of the bands: [B, T, 80] -> [B, T, D]."""

    def __init__(self, num_bands: int) -> None:
        super().__init__(num_bands, WIDTH)


class LinearHead(nn.Module):
    """The mean over time, then a linear layer: it hears how often, and not in which order."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(DROPOUT)
        self.classes = nn.Linear(WIDTH, num_classes)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """[B, T, D], [B, T, 1] -> [B, classes]."""
        logits: Tensor = self.classes(self.dropout(_mean(frames, mask)))
        return logits


class ConvHead(nn.Module):
    """Two convolutions over time, mean and maximum over time, then a linear layer."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(DROPOUT)
        self.first = nn.Conv1d(WIDTH, WIDTH, 3, padding=1)
        self.second = nn.Conv1d(WIDTH, WIDTH, 3, padding=1)
        self.classes = nn.Linear(2 * WIDTH, num_classes)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """[B, T, D], [B, T, 1] -> [B, classes]."""
        hidden = self.dropout(frames) * mask
        hidden = nn.functional.gelu(self.first(hidden.transpose(1, 2)).transpose(1, 2)) * mask
        hidden = hidden + nn.functional.gelu(self.second(hidden.transpose(1, 2)).transpose(1, 2))
        highest = hidden.masked_fill(mask == 0, -torch.inf).amax(dim=1)
        pooled = torch.cat([_mean(hidden, mask), highest], dim=1)
        logits: Tensor = self.classes(self.dropout(pooled))
        return logits


HEADS: dict[str, type[LinearHead] | type[ConvHead]] = {"linear": LinearHead, "conv": ConvHead}


class Probe(nn.Module):
    """One input and one head."""

    def __init__(self, frames: CodesInput | MelInput, head: LinearHead | ConvHead) -> None:
        super().__init__()
        self.embed = frames
        self.head = head

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """[B, T, F], [B, T, 1] (1 where there is a frame, 0 after the end) -> [B, classes]."""
        logits: Tensor = self.head(self.embed(frames), mask)
        return logits


def _mean(frames: Tensor, mask: Tensor) -> Tensor:
    """[B, T, D] -> [B, D], over the frames that there are."""
    return (frames * mask).sum(dim=1) / mask.sum(dim=1)
