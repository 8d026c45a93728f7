"""Recipes: a whole training run in one strict YAML file."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from vqaudio.codec.config import CodecConfig, Config
from vqaudio.errors import RecipeError


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


class LossConfig(Config):
    """What is minimised: mel + commitment * commitment loss + codebook loss."""

    mel_windows: Annotated[tuple[PositiveInt, ...], Field(min_length=1, strict=False)] = (
        128,
        256,
        512,
        1024,
        2048,
    )
    """Samples."""
    commitment: NonNegativeFloat = 0.25
    """beta of VQ-VAE."""


class OptimizerConfig(Config):
    """AdamW with linear warm-up and cosine decay to zero."""

    learning_rate: PositiveFloat = 5e-4
    betas: Annotated[tuple[float, float], Field(strict=False)] = (0.8, 0.99)
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
    seed: int = 0
    steps: PositiveInt
    codec: CodecConfig
    data: DataConfig
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16: autocast of the networks; the quantizer stays in float32."""
    storage: Literal["float32", "float16"] = "float32"
    """Of the weights in the model file."""
    log_every: PositiveInt = 50
    """Steps."""
    validate_every: PositiveInt = 1000
    """Steps."""
    validation_seconds: PositiveFloat = 120.0
    """Of held-out speech per validation."""
    checkpoint_minutes: NonNegativeFloat = 5.0

    @property
    def hours_heard(self) -> float:
        """Hours of crops that all steps amount to."""
        return self.steps * self.data.batch_size * self.data.crop_seconds / 3600


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe; `overrides` are "key.path=value" in YAML, applied before validation.

    YAML 1.2: 3e-4 is a number, no is a word, a repeated key is an error.

    Raises RecipeError, which names the key, what came and what is allowed.
    """
    try:
        values = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"cannot read the recipe {path}: {error.strerror}.") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not valid YAML: {_yaml_problem(error)}.") from None
    if not isinstance(values, dict):
        raise RecipeError(f"{path} is not a recipe: it must hold keys and values.")
    for override in overrides:
        _override(values, override)
    return parse_recipe(values, str(path))


def parse_recipe(values: dict[str, Any], source: str) -> Recipe:
    """Validate the values of a recipe; `source` is named in errors."""
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        problems = [_problem(dict(problem), values) for problem in error.errors()]
        raise RecipeError(f"{source}: {'; '.join(problems)}.") from None


def _override(values: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise RecipeError(f"--set takes key.path=value, got {override!r}.")
    try:
        value = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise RecipeError(f"--set {override}: {_yaml_problem(error)}.") from None
    *parents, key = path.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise RecipeError(f"--set {override}: {parent} has no keys below it.")
    values[key] = value


def _yaml_problem(error: Exception) -> str:
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return str(error).splitlines()[0]


def _problem(problem: dict[str, Any], values: dict[str, Any]) -> str:
    """One validation error as "key.path: what is wrong"."""
    location: tuple[str | int, ...] = problem["loc"]
    # pydantic names the chosen family of a backbone as if it were a key.
    path = ".".join(str(part) for part in location if part not in ("frames", "waveform"))
    if problem["type"] == "extra_forbidden":
        guess = difflib.get_close_matches(str(location[-1]), _known_keys(), n=1)
        return f"{path}: unknown key" + (f", did you mean {guess[0]}?" if guess else "")
    if problem["type"] == "missing":
        return f"{path}: missing"
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{path}: {message[0].lower()}{message[1:]}, got {problem['input']!r}"


def _known_keys() -> Iterable[str]:
    from vqaudio.codec.config import FramesConfig, QuantizerConfig, WaveformConfig

    for config in (
        Recipe,
        CodecConfig,
        FramesConfig,
        WaveformConfig,
        QuantizerConfig,
        DataConfig,
        CorpusConfig,
        LossConfig,
        OptimizerConfig,
    ):
        yield from config.model_fields
