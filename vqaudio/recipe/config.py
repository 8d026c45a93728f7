"""What stands in a recipe."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from vqaudio.codec.config import CodecConfig, Config


class CorpusConfig(Config):
    """One corpus of a recipe."""

    name: Literal["debian-speech", "librispeech", "folder"]
    root: str
    """Folder that the corpus is in, or is downloaded to; relative to the working folder."""
    train: Annotated[tuple[str, ...], Field(min_length=1, strict=False)] = ("train",)
    """Splits to train on."""
    validation: Annotated[tuple[str, ...], Field(strict=False)] = ("validation",)
    """Splits to validate on: speakers that training never hears."""


class DataConfig(Config):
    """What a batch is made of."""

    corpora: Annotated[tuple[CorpusConfig, ...], Field(min_length=1, strict=False)]
    batch_size: PositiveInt
    """Crops per step."""
    crop_seconds: PositiveFloat
    speaker_balance: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Speakers are drawn by seconds of speech to the power of 1 - this: 0 as the speech is
    spread, 1 all alike."""
    gain_db: Annotated[tuple[float, float], Field(strict=False)] = (0.0, 0.0)
    """Each crop's level is changed by a value drawn from this range, in dB."""
    workers: Annotated[int, Field(ge=0)] = 1
    """Processes that read ahead."""

    @field_validator("gain_db")
    @classmethod
    def _check_gain_db(cls, gain_db: tuple[float, float]) -> tuple[float, float]:
        low, high = gain_db
        if low > high:
            raise ValueError(f"must be [low, high], got [{low:g}, {high:g}]")
        return gain_db


class LossConfig(Config):
    """What is minimised: mel + commitment * commitment loss + codebook loss."""

    mel_windows: Annotated[
        tuple[Annotated[int, Field(ge=64)], ...], Field(min_length=1, strict=False)
    ] = (128, 256, 512, 1024, 2048)
    """Samples; a shorter window than 64 leaves mel bands without a frequency."""
    commitment: NonNegativeFloat = 0.25
    """beta of VQ-VAE."""


Beta = Annotated[float, Field(ge=0, lt=1)]


class OptimizerConfig(Config):
    """AdamW with linear warm-up and cosine decay to zero."""

    learning_rate: PositiveFloat = 5e-4
    betas: Annotated[tuple[Beta, Beta], Field(strict=False)] = (0.8, 0.99)
    weight_decay: NonNegativeFloat = 0.01
    warmup_steps: Annotated[int, Field(ge=0)] = 500
    max_gradient_norm: PositiveFloat = 1.0
    weight_ema: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Decay of the averaged weights that validation and the final model use."""


class Recipe(Config):
    """A training run from corpus to model."""

    name: str
    description: str
    licence: str
    """Of the trained model, in words: what the data's licences leave."""
    seed: Annotated[int, Field(ge=0)] = 0
    steps: PositiveInt
    codec: CodecConfig
    data: DataConfig
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """bfloat16: autocast of the networks; quantizer, spectra and losses stay in float32. auto:
    bfloat16 on a device that computes in it natively."""
    storage: Literal["float32", "float16"] = "float32"
    """Of the weights in the model file."""
    log_every: PositiveInt = 50
    """Steps."""
    validate_every: PositiveInt = 1000
    """Steps."""
    validation_seconds: PositiveFloat = 120.0
    """Of held-out speech per validation."""
    checkpoint_minutes: NonNegativeFloat = 5.0

    @model_validator(mode="after")
    def _check_crop_seconds(self) -> Recipe:
        hop, rate = self.codec.backbone.hop_length, self.codec.sample_rate
        if round(self.data.crop_seconds * rate) < hop:
            raise ValueError(
                f"data.crop_seconds: must be at least one hop, {hop} samples at {rate} Hz or "
                f"{hop / rate:g} s, got {self.data.crop_seconds:g}"
            )
        return self

    @property
    def hours_heard(self) -> float:
        """Hours of crops that all steps amount to."""
        return self.steps * self.data.batch_size * self.data.crop_seconds / 3600
