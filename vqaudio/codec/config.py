"""What a codec is made of, as it stands in a recipe and in a model file."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from vqaudio.audio.resampling import MAX_SAMPLE_RATE, MIN_SAMPLE_RATE


class Config(BaseModel):
    """Strict values: a key nobody reads is an error, and nothing changes after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class FramesConfig(Config):
    """The frame-rate family: spectra in, ConvNeXt blocks at the frame rate, spectra out."""

    family: Literal["frames"] = "frames"
    hop_length: PositiveInt = 320
    """Samples per frame."""
    window_length: PositiveInt = 1280
    """Samples per spectrum, a multiple of hop_length; for analysis and synthesis."""
    width: PositiveInt = 256
    """Channels of the blocks."""
    decoder_width: PositiveInt | None = None
    """Of the decoder's blocks, where it is another."""
    encoder_blocks: PositiveInt = 4
    decoder_blocks: PositiveInt = 7
    phase: Literal["angle", "direction"] = "angle"
    """How the decoder says the phase of a bin: as an angle, or as a direction in the plane, from
    which a loss on phases can learn."""

    @model_validator(mode="after")
    def _check(self) -> FramesConfig:
        if self.window_length % self.hop_length or self.window_length < 2 * self.hop_length:
            raise ValueError(
                f"window_length {self.window_length} must be at least twice hop_length "
                f"{self.hop_length} and a multiple of it"
            )
        return self


class WaveformConfig(Config):
    """The waveform family: a strided convolution stack at the sample rate (SEANet, DAC)."""

    family: Literal["waveform"]
    strides: tuple[Annotated[int, Field(ge=2)], ...] = Field(
        (2, 4, 5, 8), min_length=1, strict=False
    )
    """Downsampling of the encoder's stages, first to last; their product is the hop."""
    width: PositiveInt = 16
    """Channels at the sample rate; they double with each stage."""

    @property
    def hop_length(self) -> int:
        """Samples per frame."""
        return math.prod(self.strides)


class QuantizerConfig(Config):
    """The residual vector quantizer."""

    codebook: Literal["ema", "gradient", "cosine", "fsq"] = "ema"
    """ema: moving averages; gradient: the optimiser moves the codes; cosine: moving averages in
    code_dim dimensions, compared by angle; fsq: the grid of fsq_levels."""
    num_codebooks: Annotated[int, Field(ge=1, le=64)] = 8
    codebook_size: Annotated[int, Field(ge=2, le=65536)] = 1024
    dim: PositiveInt = 64
    """Dimension of the latents and of the codes."""
    code_dim: PositiveInt = 8
    """Of cosine codes: the dimensions that a learnt projection leaves."""
    fsq_levels: Annotated[
        tuple[Annotated[int, Field(ge=2)], ...], Field(min_length=1, strict=False)
    ] = (8, 5, 5, 5)
    """Of fsq: values per dimension; codebook_size is their product."""
    bridge: Literal["straight-through", "rotation"] = "straight-through"
    """How the gradient passes the choice of a code."""
    decay: Annotated[float, Field(gt=0, lt=1)] = 0.99
    """Of the moving averages, per training pass: a step of a recipe has data.accumulate of them."""
    restart_below: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """A code is dead below this fraction of the fair share; 0 switches restarts off, but for codes
    that float32 is about to forget."""
    dropout: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Fraction of training items that use only their first levels."""

    @model_validator(mode="after")
    def _check(self) -> QuantizerConfig:
        if self.codebook == "fsq" and self.codebook_size != math.prod(self.fsq_levels):
            raise ValueError(
                f"codebook_size must be the product of fsq_levels, {math.prod(self.fsq_levels)}, "
                f"got {self.codebook_size}"
            )
        return self


class CodecConfig(Config):
    """Everything that is needed to build a codec."""

    sample_rate: Annotated[int, Field(ge=MIN_SAMPLE_RATE, le=MAX_SAMPLE_RATE)] = 16000
    """Hz."""
    causal: bool = False
    """Whether a frame is encoded from its own and earlier samples only."""
    backbone: Annotated[FramesConfig | WaveformConfig, Field(discriminator="family")] = (
        FramesConfig()
    )
    quantizer: QuantizerConfig = QuantizerConfig()
