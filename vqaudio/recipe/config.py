"""What stands in a recipe."""

from __future__ import annotations

import math
from itertools import accumulate
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from vqaudio.codec.config import CodecConfig, Config, FramesConfig
from vqaudio.data.augment import Interval, NoiseConfig, RoomConfig
from vqaudio.discriminators import DiscriminatorConfig


class CorpusConfig(Config):
    """One corpus of a recipe."""

    name: Literal[
        "debian-speech",
        "asterisk-prompts",
        "librispeech",
        "libritts",
        "libritts-r",
        "ljspeech",
        "vctk",
        "common-voice",
        "speechocean762",
        "fsdd",
        "audiomnist",
        "picovoice",
        "folder",
        "manifest",
        "huggingface",
    ]
    root: str
    """Folder that the corpus is in, or is downloaded to, or the manifest itself; relative to the
    working folder."""
    train: Annotated[tuple[str, ...], Field(strict=False)] = ("train",)
    """Splits to train on; none in a corpus that is only validated on."""
    validation: Annotated[tuple[str, ...], Field(strict=False)] = ("validation",)
    """Splits to validate on: speakers that training never hears."""
    weight: PositiveFloat | None = None
    """Share of the crops, relative to the other corpora's weights; where no corpus has one, they
    share by seconds of speech."""

    @model_validator(mode="after")
    def _check_splits(self) -> CorpusConfig:
        if not self.train and not self.validation:
            raise ValueError("train and validation are both empty: name a split, or remove it")
        return self


class DataConfig(Config):
    """What a batch is made of."""

    corpora: Annotated[tuple[CorpusConfig, ...], Field(min_length=1, strict=False)]
    batch_size: PositiveInt
    """Crops per step, of all processes together."""
    accumulate: PositiveInt = 1
    """Parts that each process cuts its crops into, to go through the codec one after the other:
    less memory, the same gradient but for losses with a scale of the whole batch (`stft`,
    `phase`, `features`, `mel` with `mel_compressed`). Codebooks move with each part."""
    crop_seconds: PositiveFloat
    speaker_balance: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Speakers are drawn by seconds of speech to the power of 1 - this: 0 as the speech is
    spread, 1 all alike."""
    room: RoomConfig | None = None
    """Echoes, for a part of the crops."""
    noise: NoiseConfig | None = None
    """Noise in the background, for a part of the crops."""
    gain_db: Interval = (0.0, 0.0)
    """Each crop's level is changed by a value drawn from this range, in dB."""
    workers: Annotated[int, Field(ge=0)] = 1
    """Processes that read ahead."""

    @model_validator(mode="after")
    def _check_parts(self) -> DataConfig:
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"batch_size {self.batch_size} does not divide into accumulate {self.accumulate}"
            )
        return self

    @model_validator(mode="after")
    def _check_weights(self) -> DataConfig:
        without = [i for i, c in enumerate(self.corpora) if c.train and c.weight is None]
        if without and any(corpus.weight is not None for corpus in self.corpora):
            raise ValueError(
                f"corpora.{without[0]}.weight: missing; give each corpus a weight, or none"
            )
        return self


class LossConfig(Config):
    """What the codec minimises.

    The losses on the sound (mel, stft, phase, waveform, adversarial, features) have weights; a
    weight of zero leaves a loss out. With `balance` a weight is the loss's fraction of the gradient
    at the decoder's output, otherwise a factor.
    """

    mel: NonNegativeFloat = 1.0
    """Of the multi-scale log-mel distance."""
    stft: NonNegativeFloat = 0.0
    """Of the complex multi-resolution STFT distance."""
    phase: NonNegativeFloat = 0.0
    """Of the distance of phases, beside a loss that hears levels."""
    waveform: NonNegativeFloat = 0.0
    """Of the mean absolute difference of samples."""
    adversarial: NonNegativeFloat = 0.0
    """Of what the discriminators say of the decoded sound."""
    features: NonNegativeFloat = 0.0
    """Of the distance of the discriminators' features (feature matching)."""
    semantic: NonNegativeFloat = 0.0
    """Of the distance of the first level to the frames of a speech model; a factor, also with
    `balance`."""
    commitment: NonNegativeFloat = 0.25
    """beta of VQ-VAE; a factor, also with `balance`."""
    balance: bool = False
    mel_windows: Annotated[
        tuple[Annotated[int, Field(ge=64)], ...], Field(min_length=1, strict=False)
    ] = (128, 256, 512, 1024, 2048)
    """Samples; a shorter window than 64 leaves mel bands without a frequency."""
    mel_compressed: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Fraction of the mel loss that compares amplitudes to the power of 0.3 in place of their
    logarithms: what is nearly silent hardly counts."""
    stft_windows: Annotated[
        tuple[Annotated[int, Field(ge=16)], ...], Field(min_length=1, strict=False)
    ] = (512, 1024, 2048)
    """Samples."""
    phase_windows: Annotated[
        tuple[Annotated[int, Field(ge=16)], ...], Field(min_length=1, strict=False)
    ] = (512, 1024)
    """Samples."""
    phase_below: PositiveFloat = 1000.0
    """Hz: higher phases are free."""

    @property
    def judged(self) -> bool:
        """Whether discriminators have a say."""
        return self.adversarial > 0 or self.features > 0

    @property
    def measured(self) -> bool:
        """Whether there is a loss on the sound that asks no discriminator."""
        return self.mel > 0 or self.stft > 0 or self.waveform > 0

    @model_validator(mode="after")
    def _check_weights(self) -> LossConfig:
        if self.mel_compressed and not self.mel:
            raise ValueError(
                f"mel_compressed is {self.mel_compressed:g} of a mel loss that is left out: give "
                "mel a weight, or leave mel_compressed out"
            )
        if not (self.measured or self.judged):
            raise ValueError("one of mel, stft, waveform, adversarial, features must be above 0")
        return self


Beta = Annotated[float, Field(ge=0, lt=1)]


class OptimizerConfig(Config):
    """AdamW with linear warm-up and, at the end, cosine decay to zero."""

    learning_rate: PositiveFloat = 5e-4
    betas: Annotated[tuple[Beta, Beta], Field(strict=False)] = (0.8, 0.99)
    weight_decay: NonNegativeFloat = 0.01
    """Of the networks; codebooks never decay."""
    warmup_steps: Annotated[int, Field(ge=0)] = 500
    decay_steps: Annotated[int, Field(ge=0)] | None = None
    """The last so many steps of the stage decay; all after the warm-up without it, none with 0."""
    max_gradient_norm: PositiveFloat = 1.0
    weight_ema: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Decay of the averaged weights that validation and the final model use."""


class DiscriminatorOptimizerConfig(Config):
    """How the discriminators learn in a stage."""

    learning_rate: PositiveFloat = 3e-4
    """Warm-up and decay are those of the codec."""
    betas: Annotated[tuple[Beta, Beta], Field(strict=False)] = (0.8, 0.99)
    max_gradient_norm: PositiveFloat = 10.0
    every: PositiveInt = 1
    """They are asked, and learn, in one of so many steps."""
    lead_steps: Annotated[int, Field(ge=0)] = 0
    """The first so many steps of the stage the codec does not hear them, and they learn (in one of
    `every` steps, with the warm-up of the codec): what they say before they know anything would
    only lead it astray."""


class StageConfig(Config):
    """A part of a run with losses, optimiser and learning rate of its own."""

    name: str
    steps: PositiveInt
    trains: Literal["codec", "decoder"] = "codec"
    """decoder: encoder and codebooks stay as they are, and with them the codes of every sound:
    models before and after have one fingerprint."""
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    discriminator_optimizer: DiscriminatorOptimizerConfig = DiscriminatorOptimizerConfig()

    @model_validator(mode="after")
    def _check_silence(self) -> StageConfig:
        judge = self.discriminator_optimizer
        if (judge.every > 1 or judge.lead_steps) and not self.loss.measured:
            raise ValueError(
                "discriminator_optimizer: with every or lead_steps the codec does not hear the "
                "discriminators in some steps, and needs mel, stft or waveform there"
            )
        if judge.lead_steps and not self.loss.judged:
            raise ValueError(
                f"discriminator_optimizer.lead_steps is {judge.lead_steps}, but the loss has no "
                "discriminators: give adversarial or features a weight, or leave lead_steps out"
            )
        if judge.lead_steps >= self.steps:
            raise ValueError(
                f"discriminator_optimizer.lead_steps {judge.lead_steps} must be below the stage's "
                f"steps, {self.steps}: the codec would never hear the discriminators"
            )
        return self

    def learning_rate_factor(self, step: int) -> float:
        """Of step 0 to steps - 1: linear warm-up, a plateau if any, then a cosine to zero."""
        warmup, decay = self.optimizer.warmup_steps, self.optimizer.decay_steps
        if step < warmup:
            return (step + 1) / warmup
        begin = warmup if decay is None else max(warmup, self.steps - decay)
        progress = (step - begin) / max(self.steps - begin, 1)
        return 0.5 * (1 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))


class StageSpan(NamedTuple):
    """A stage's place in the run."""

    config: StageConfig
    begin: int
    """Its first step, counted from 0 over the whole run."""
    end: int
    """The step after its last."""


class SemanticConfig(Config):
    """A frozen speech model that the first level learns from; needs `vqaudio[semantic]`."""

    bundle: str
    """Of torchaudio.pipelines, such as HUBERT_BASE or WAVLM_BASE_PLUS."""
    layer: PositiveInt | None = None
    """Counted from 1; the mean of all layers without it."""


class CollapseConfig(Config):
    """When the log warns that a codebook collapses."""

    below: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Perplexity as a fraction of the codes."""
    steps: PositiveInt = 1000
    """For so many steps in a row."""


class Recipe(Config):
    """A training run from corpus to model."""

    name: str
    description: str
    licence: str
    """Of the trained model, in words: what the data's licences leave."""
    seed: Annotated[int, Field(ge=0)] = 0
    init: str | None = None
    """A model file, a run folder or a bundled model's name, to go on from (fine-tuning); `codec`
    may then be left out. A run folder brings its discriminators along."""
    init_decoder_blocks: Annotated[
        tuple[Annotated[int, Field(ge=0)], ...] | None, Field(min_length=1, strict=False)
    ] = None
    """Of the decoder at `init` the blocks to go on with, counted from 0, where `codec` has fewer:
    those that are left learn to do without the others. Family frames."""
    codec: CodecConfig
    data: DataConfig
    stages: Annotated[tuple[StageConfig, ...], Field(min_length=1, strict=False)]
    """One after the other."""
    discriminators: Annotated[tuple[DiscriminatorConfig, ...], Field(strict=False)] = ()
    """For the stages whose losses ask them."""
    semantic: SemanticConfig | None = None
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """bfloat16: autocast of the networks; quantizer, spectra and losses stay in float32. auto:
    bfloat16 on a device that computes in it natively."""
    compile: bool = False
    """Whether torch.compile translates encoder and decoder first."""
    storage: Literal["float32", "float16"] = "float32"
    """Of the weights in the model file."""
    collapse: CollapseConfig = CollapseConfig()
    log_every: PositiveInt = 50
    """Steps."""
    validate_every: PositiveInt = 1000
    """Steps."""
    validation_seconds: PositiveFloat = 120.0
    """Of held-out speech per validation."""
    checkpoint_minutes: NonNegativeFloat = 5.0
    keep_checkpoints: PositiveInt = 2
    """The newest so many."""

    @model_validator(mode="after")
    def _check(self) -> Recipe:
        hop, rate = self.codec.backbone.hop_length, self.codec.sample_rate
        if round(self.data.crop_seconds * rate) < hop:
            raise ValueError(
                f"data.crop_seconds: must be at least one hop, {hop} samples at {rate} Hz or "
                f"{hop / rate:g} s, got {self.data.crop_seconds:g}"
            )
        if self.init_decoder_blocks is not None:
            self._check_blocks(self.init_decoder_blocks)
        for place, stage in enumerate(self.stages):
            if stage.loss.judged and not self.discriminators:
                raise ValueError(
                    f"stages.{place}.loss: adversarial and features need discriminators"
                )
            lowest, loss = rate / min(stage.loss.phase_windows), stage.loss
            if loss.phase and not lowest <= loss.phase_below <= rate / 2:
                raise ValueError(
                    f"stages.{place}.loss.phase_below: must be from {lowest:g} Hz, the first bin "
                    f"of the shortest of phase_windows, to {rate / 2:g}, got {loss.phase_below:g}"
                )
            if stage.loss.semantic and self.semantic is None:
                raise ValueError(f"stages.{place}.loss.semantic: needs the section semantic")
        return self

    def _check_blocks(self, kept: tuple[int, ...]) -> None:
        backbone = self.codec.backbone
        if not isinstance(backbone, FramesConfig):
            raise ValueError(
                f"init_decoder_blocks: a codec of the family {backbone.family} has no such blocks; "
                "leave it out"
            )
        if self.init is None:
            raise ValueError("init_decoder_blocks: whose? name the model to go on from in init")
        if sorted(set(kept)) != list(kept):
            raise ValueError(
                f"init_decoder_blocks: each block once and in their order, got {list(kept)}"
            )
        if len(kept) != backbone.decoder_blocks:
            raise ValueError(
                f"init_decoder_blocks: names {len(kept)} blocks, and codec.backbone.decoder_blocks "
                f"is {backbone.decoder_blocks}: make them agree"
            )

    @property
    def steps(self) -> int:
        """Of all stages."""
        return sum(stage.steps for stage in self.stages)

    def schedule(self) -> list[StageSpan]:
        """When each stage begins and ends."""
        ends = list(accumulate(stage.steps for stage in self.stages))
        return [StageSpan(s, e - s.steps, e) for s, e in zip(self.stages, ends, strict=True)]

    @property
    def hours_heard(self) -> float:
        """Hours of crops that all steps amount to."""
        return self.steps * self.data.batch_size * self.data.crop_seconds / 3600


WITHOUT_EFFECT: Any = {
    "collapse": True,
    "log_every": True,
    "checkpoint_minutes": True,
    "keep_checkpoints": True,
    "data": {"workers"},
}
"""What may change while a run is stopped: what is learnt stays the same."""
