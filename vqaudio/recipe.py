"""Recipes: a whole training run in one strict YAML file."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from vqaudio.codec.config import (
    CodecConfig,
    Config,
    FramesConfig,
    QuantizerConfig,
    WaveformConfig,
)
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


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe; `overrides` are "key.path=value" in YAML, applied before validation.

    An integer in a key path is an index: "data.corpora.0.root=speech".

    YAML 1.2: 3e-4 is a number, no is a word, a repeated key is an error.

    Raises RecipeError, which names the key, what came and what is allowed.
    """
    try:
        values = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"cannot read the recipe {path}: {error.strerror}.") from None
    except (YAMLError, ValueError) as error:  # ValueError: not UTF-8, or a date like 2024-13-45
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
        problems = error.errors()
        # A list with a wrong item is also reported as too short.
        inner = [p for p in problems if not any(_holds(p["loc"], q["loc"]) for q in problems)]
        raise RecipeError(f"{source}: {'; '.join(map(_problem, inner))}.") from None


def _holds(outer: tuple[str | int, ...], inner: tuple[str | int, ...]) -> bool:
    return len(outer) < len(inner) and inner[: len(outer)] == outer


def _override(values: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise RecipeError(f"--set takes key.path=value, got {override!r}.")
    try:
        value = YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError) as error:
        raise RecipeError(f"--set {override}: {_yaml_problem(error)}.") from None
    *parents, last = path.split(".")
    node: Any = values
    for part in parents:
        if isinstance(node, dict):
            node.setdefault(part, {})
        node = node[_place(node, part, override)]
    node[_place(node, last, override)] = value


def _place(node: Any, part: str, override: str) -> str | int:
    """What `part` of a key path stands for in `node`: a key, or an index of a list."""
    if isinstance(node, dict):
        return part
    if not isinstance(node, list):
        raise RecipeError(f"--set {override}: {part} has no place, there is {node!r} above it.")
    if not part.isdecimal() or int(part) >= len(node):
        raise RecipeError(
            f"--set {override}: {part} is no index of a list of {len(node)}, counted from 0."
        )
    return int(part)


def _yaml_problem(error: Exception) -> str:
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return str(error).splitlines()[0]


# The parts of a validation error's location that name what the keys below them belong to; a
# chosen family stands there as if it were a key.
_SECTIONS: dict[str, type[Config]] = {
    "codec": CodecConfig,
    "frames": FramesConfig,
    "waveform": WaveformConfig,
    "quantizer": QuantizerConfig,
    "data": DataConfig,
    "corpora": CorpusConfig,
    "loss": LossConfig,
    "optimizer": OptimizerConfig,
}


def _problem(problem: ErrorDetails) -> str:
    """One validation error as "key.path: what is wrong"."""
    location = problem["loc"]
    path = ".".join(str(part) for part in location if part not in ("frames", "waveform"))
    start = f"{path}: " if path else ""  # what concerns several sections names its key itself
    kind = problem["type"]
    if kind == "extra_forbidden":
        sections = [_SECTIONS[str(part)] for part in location[:-1] if part in _SECTIONS]
        known = list((sections[-1] if sections else Recipe).model_fields)
        guess = difflib.get_close_matches(str(location[-1]), known, n=1)
        advice = f"did you mean {guess[0]}?" if guess else f"the keys here are {', '.join(known)}"
        return f"{path}: unknown key ({advice})"
    if kind == "missing":
        return f"{path}: missing"
    if kind == "union_tag_not_found":
        return f"{path}.family: missing"
    if kind == "union_tag_invalid":
        allowed, tag = problem["ctx"]["expected_tags"], problem["ctx"]["tag"]
        return f"{path}.family: must be {allowed}, got {tag!r}"
    message = str(problem["msg"]).replace("Input should be", "must be", 1)
    if kind == "value_error":
        return f"{start}{message.removeprefix('Value error, ')}"
    return f"{path}: {message[0].lower()}{message[1:]}, got {problem['input']!r}"
