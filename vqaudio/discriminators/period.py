"""The discriminator of periodic samples."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from vqaudio.codec.config import Config
from vqaudio.discriminators.conv import Conv2d, Layers
from vqaudio.discriminators.judgement import Judgement


class PeriodDiscriminatorConfig(Config):
    """One period of a multi-period discriminator."""

    kind: Literal["period"]
    period: Annotated[int, Field(ge=2)]
    """Samples. HiFi-GAN takes the first primes, 2, 3, 5, 7, 11: they share few samples."""
    channels: Annotated[tuple[PositiveInt, ...], Field(min_length=1, strict=False)] = (4, 8, 16, 16)
    """Per layer; HiFi-GAN: 32, 128, 512, 1024, 1024. All but the last shorten time to a third."""


class PeriodDiscriminator(nn.Module):
    """[B, 1, S] -> `Judgement`: convolutions along every `period`-th sample.

    One part of the multi-period discriminator of HiFi-GAN (Kong et al. 2020, arXiv:2010.05646,
    section 2.3). Samples of one phase of the period stand in one column, and columns only meet
    in the loss.
    """

    def __init__(self, config: PeriodDiscriminatorConfig) -> None:
        super().__init__()
        self.period = config.period
        *shortening, last = pairwise((1, *config.channels))
        self.layers = Layers(
            [
                *(Conv2d(a, b, (5, 1), stride=(3, 1)) for a, b in shortening),
                Conv2d(*last, (5, 1)),
            ]
        )
        self.score = Conv2d(config.channels[-1], 1, (3, 1))

    def forward(self, waveform: Tensor) -> Judgement:
        # Zeros: HiFi-GAN reflects, which a waveform shorter than the period does not allow.
        padded = F.pad(waveform, (0, -waveform.shape[-1] % self.period))
        features = self.layers(padded.view(len(padded), 1, -1, self.period))
        return Judgement(self.score(features[-1]), features)
