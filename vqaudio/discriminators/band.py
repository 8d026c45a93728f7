"""The discriminator of bands of complex spectra."""

from __future__ import annotations

from itertools import chain, pairwise
from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from vqaudio.codec.config import Config
from vqaudio.discriminators.conv import Conv2d, Layers
from vqaudio.discriminators.judgement import Judgement
from vqaudio.discriminators.spectrum import ComplexSpectrum

EDGES = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
"""Of the bands, as fractions of the spectrum; DAC's."""


class BandDiscriminatorConfig(Config):
    """One window of a multi-band multi-resolution discriminator."""

    kind: Literal["band"]
    window_length: Annotated[int, Field(ge=64)] = 1024
    """Samples. From 64 on, no band is empty."""
    overlap: Annotated[int, Field(ge=2, le=8)] = 4
    """Windows over each sample; 2 costs half."""
    channels: PositiveInt = 8
    """DAC: 32."""
    stride: Annotated[int, Field(ge=1, le=8)] = 4
    """Of the first layers, along frequency. DAC: 1, three to four times as dear on CPU."""
    num_layers: Annotated[int, Field(ge=2)] = 4
    """Per band, before the score; DAC: 5. All but the first and the last halve the number of
    frequencies."""


class BandDiscriminator(nn.Module):
    """[B, 1, S] -> `Judgement`: each band has 2-D convolutions of its own.

    One resolution of the multi-band multi-scale STFT discriminator of DAC (Kumar et al. 2023,
    arXiv:2306.06546). Networks of their own keep the faint high bands from being
    passed over beside the loud low ones.
    """

    def __init__(self, config: BandDiscriminatorConfig) -> None:
        super().__init__()
        window = config.window_length
        self.spectrum = ComplexSpectrum(window, hop_length=window // config.overlap)
        num_bins = window // 2 + 1
        self.bands = [slice(int(a * num_bins), int(b * num_bins)) for a, b in pairwise(EDGES)]
        self.layers = nn.ModuleList(_layers(config) for _ in self.bands)
        self.score = Conv2d(config.channels, 1, (3, 3))

    def forward(self, waveform: Tensor) -> Judgement:
        spectrum = self.spectrum(waveform)
        features: list[tuple[Tensor, ...]] = [
            layers(spectrum[..., band])
            for band, layers in zip(self.bands, self.layers, strict=True)
        ]
        ends = torch.cat([outputs[-1] for outputs in features], dim=-1)
        return Judgement(self.score(ends), tuple(chain.from_iterable(features)))


def _layers(config: BandDiscriminatorConfig) -> Layers:
    """Those of one band."""
    channels = config.channels
    return Layers(
        [
            Conv2d(2, channels, (3, 9), stride=(1, config.stride)),
            *(
                Conv2d(channels, channels, (3, 9), stride=(1, 2))
                for _ in range(config.num_layers - 2)
            ),
            Conv2d(channels, channels, (3, 3)),
        ]
    )
