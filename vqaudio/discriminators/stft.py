"""The discriminator of complex spectra."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from vqaudio.codec.config import Config
from vqaudio.discriminators.conv import Conv2d, Layers
from vqaudio.discriminators.judgement import Judgement
from vqaudio.discriminators.spectrum import ComplexSpectrum


class StftDiscriminatorConfig(Config):
    """One window of a multi-scale STFT discriminator."""

    kind: Literal["stft"] = "stft"
    window_length: Annotated[int, Field(ge=16)] = 1024
    """Samples."""
    overlap: Annotated[int, Field(ge=2, le=8)] = 4
    """Windows over each sample; 2 costs half."""
    channels: PositiveInt = 8
    """EnCodec: 32."""
    stride: Annotated[int, Field(ge=1, le=8)] = 4
    """Of the first layer, along frequency. EnCodec: 1, three to four times as dear on CPU."""
    dilations: Annotated[tuple[PositiveInt, ...], Field(min_length=1, strict=False)] = (1, 2, 4)
    """Along time, one layer each; each layer also halves the number of frequencies."""


class StftDiscriminator(nn.Module):
    """[B, 1, S] -> `Judgement`: 2-D convolutions over time and frequency.

    One scale of the MS-STFT discriminator of EnCodec (Défossez et al. 2022, arXiv:2210.13438,
    section 3.4 and figure 2). It hears phase, for which reconstruction losses are deaf.
    """

    def __init__(self, config: StftDiscriminatorConfig) -> None:
        super().__init__()
        window, channels = config.window_length, config.channels
        self.spectrum = ComplexSpectrum(window, hop_length=window // config.overlap)
        self.layers = Layers(
            [
                Conv2d(2, channels, (3, 9), stride=(1, config.stride)),
                *(
                    Conv2d(channels, channels, (3, 9), stride=(1, 2), dilation=(dilation, 1))
                    for dilation in config.dilations
                ),
                Conv2d(channels, channels, (3, 3)),
            ]
        )
        self.score = Conv2d(channels, 1, (3, 3))

    def forward(self, waveform: Tensor) -> Judgement:
        features = self.layers(self.spectrum(waveform))
        return Judgement(self.score(features[-1]), features)
