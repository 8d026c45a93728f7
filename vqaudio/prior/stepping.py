"""A prior column by column, each code known only after the codes before it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vqaudio.prior.layout import NO_CODE, Layout
from vqaudio.prior.model import Prior

Choose = Callable[[Tensor, int, int], Tensor]
"""logits [B, K] of the next code, of which level and frame it is -> codes [B]."""


class Stepper:
    """Keeps what the transformer knows of the columns so far, for B sequences in step."""

    def __init__(self, prior: Prior) -> None:
        from transformers import DynamicCache

        self.prior = prior
        self._cache = DynamicCache()

    def push(self, ids: Tensor) -> Tensor:
        """The next columns [B, R, L] -> [B, W], which predicts the column after them."""
        hidden: Tensor = self.prior(ids, self._cache)
        return hidden[:, -1].float()


@torch.inference_mode()
def walk(
    prior: Prior, layout: Layout, choose: Choose, *, batch: int, condition: tuple[int, ...] = ()
) -> Tensor:
    """Fill in the codes of `batch` sequences of one layout, in the order that the model sees them.

    Returns codes [B, Q, T]. The same calls on one machine compute the same logits: the sequences
    go in step, whatever is chosen.
    """
    ids = prior.prepend(condition, torch.from_numpy(layout.ids).long()).to(prior.device)
    ids = ids.expand(batch, -1, -1).clone()
    levels, frames = layout.levels, layout.frames
    num_frames = int(frames.max()) + 1
    codes = torch.zeros(batch, len(prior.codebook_sizes), num_frames, dtype=torch.long)
    stepper = Stepper(prior)
    known, shift = 0, len(condition)
    for column in range(1, layout.num_columns):
        rows = (levels[:, column] != NO_CODE).nonzero()[0]
        if not len(rows):
            continue
        hidden = stepper.push(ids[:, :, known : column + shift])
        known = column + shift
        for row in rows:
            level, frame = int(levels[row, column]), int(frames[row, column])
            chosen = choose(prior.logits(hidden, level), level, frame)
            ids[:, row, known] = prior.vocabulary.offsets[level] + chosen.to(ids.device)
            codes[:, level, frame] = chosen.cpu()
    return codes
