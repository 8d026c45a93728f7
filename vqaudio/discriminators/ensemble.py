"""Several discriminators as one module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from vqaudio.discriminators.band import BandDiscriminator, BandDiscriminatorConfig
from vqaudio.discriminators.judgement import Judgement
from vqaudio.discriminators.period import PeriodDiscriminator, PeriodDiscriminatorConfig
from vqaudio.discriminators.stft import StftDiscriminator, StftDiscriminatorConfig

DiscriminatorConfig = Annotated[
    StftDiscriminatorConfig | PeriodDiscriminatorConfig | BandDiscriminatorConfig,
    Field(discriminator="kind"),
]
"""Any of the kinds, told by `kind`."""


class Discriminators(nn.Module):
    """[B, 1, S] -> one `Judgement` per config, in their order.

    Every waveform has at least one sample; padding is zeros, in the real and the fake alike, or its
    end gives the fake away. Judge both in one batch of 2 B: it is faster than two of B.
    """

    def __init__(self, configs: Sequence[DiscriminatorConfig]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(_make(config) for config in configs)

    def forward(self, waveform: Tensor) -> list[Judgement]:
        return [part(waveform) for part in self.parts]


def _make(config: DiscriminatorConfig) -> nn.Module:
    match config:
        case StftDiscriminatorConfig():
            return StftDiscriminator(config)
        case PeriodDiscriminatorConfig():
            return PeriodDiscriminator(config)
        case BandDiscriminatorConfig():
            return BandDiscriminator(config)
