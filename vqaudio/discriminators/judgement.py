"""What a discriminator says of a waveform."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Judgement(NamedTuple):
    """One discriminator's answer; in the dtype of its layers, bfloat16 under autocast."""

    scores: Tensor
    """[B, 1, ...]: high where the waveform seems recorded, one score per place looked at."""
    features: tuple[Tensor, ...]
    """[B, C, ...] each: what the layers before the scores give, for feature matching."""

    def halves(self) -> tuple[Judgement, Judgement]:
        """Of a batch of 2 B: those of the first B and of the last B."""
        scores = self.scores.chunk(2)
        features = [feature.chunk(2) for feature in self.features]
        first, second = (
            Judgement(scores[half], tuple(pair[half] for pair in features)) for half in (0, 1)
        )
        return first, second
