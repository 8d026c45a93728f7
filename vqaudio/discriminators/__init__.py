"""Discriminators: networks that learn to tell decoded waveforms from recorded ones.

A recipe lists configs, one per discriminator; several of one kind with other windows or periods are
what papers call multi-scale, multi-resolution or multi-period. Shapes: B batch, S samples,
C channels, T frames, F frequency bins.
"""

from vqaudio.discriminators.band import BandDiscriminator, BandDiscriminatorConfig
from vqaudio.discriminators.ensemble import DiscriminatorConfig, Discriminators
from vqaudio.discriminators.judgement import Judgement
from vqaudio.discriminators.period import PeriodDiscriminator, PeriodDiscriminatorConfig
from vqaudio.discriminators.stft import StftDiscriminator, StftDiscriminatorConfig

__all__ = [
    "BandDiscriminator",
    "BandDiscriminatorConfig",
    "DiscriminatorConfig",
    "Discriminators",
    "Judgement",
    "PeriodDiscriminator",
    "PeriodDiscriminatorConfig",
    "StftDiscriminator",
    "StftDiscriminatorConfig",
]
