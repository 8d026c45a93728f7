"""What stands in a recipe of a prior."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from vqaudio.codec.config import Config
from vqaudio.errors import RecipeError
from vqaudio.recipe import read_values, validate

Pattern = Literal["parallel", "delay", "flatten", "coarse-first"]
Condition = Literal["none", "speaker", "text"]


class PriorConfig(Config):
    """The transformer: Llama's blocks over the columns of a pattern."""

    pattern: Pattern = "delay"
    levels: PositiveInt | None = None
    """The first so many codebooks; all without it."""
    condition: Condition = "none"
    """What a sequence begins with: nothing, who speaks, or what is said, as UTF-8."""
    context_frames: Annotated[int, Field(ge=2)] = 500
    """The longest stretch that is seen at once; longer sound is cut into such windows."""
    width: PositiveInt = 256
    layers: PositiveInt = 6
    heads: PositiveInt = 4
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Of the attention, in training; it doubles the time of a step on CPU."""

    @model_validator(mode="after")
    def _check_heads(self) -> PriorConfig:
        if self.width % (2 * self.heads):
            raise ValueError(
                f"width: must be a multiple of twice heads ({self.heads}), got {self.width}"
            )
        return self


class PriorOptimizerConfig(Config):
    """AdamW with linear warm-up and cosine decay to zero."""

    learning_rate: PositiveFloat = 1e-3
    weight_decay: NonNegativeFloat = 0.1
    warmup_steps: Annotated[int, Field(ge=0)] = 100
    max_gradient_norm: PositiveFloat = 1.0


class PriorRecipe(Config):
    """Training of a language model over tokens."""

    name: str = "prior"
    description: str = ""
    licence: str = ""
    """Of the trained prior, in words: what the data's licences leave."""
    seed: Annotated[int, Field(ge=0)] = 0
    prior: PriorConfig = PriorConfig()
    steps: PositiveInt = 2000
    batch_size: PositiveInt = 8
    """Windows per step."""
    optimizer: PriorOptimizerConfig = PriorOptimizerConfig()
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """bfloat16: autocast. auto: bfloat16 on a device that computes in it natively."""
    log_every: PositiveInt = 20
    """Steps."""
    validate_every: PositiveInt = 200
    """Steps."""
    validation_seconds: PositiveFloat = 300.0
    """Of held-out speech per validation."""
    checkpoint_minutes: NonNegativeFloat = 5.0


_SECTIONS: dict[str, type[Config]] = {"prior": PriorConfig, "optimizer": PriorOptimizerConfig}

WITHOUT_EFFECT = {"log_every", "checkpoint_minutes"}
"""What may change while a run is stopped: what is learnt stays the same."""


def load_prior_recipe(path: Path | None, overrides: Sequence[str] = ()) -> PriorRecipe:
    """Read a recipe (None: the defaults); `overrides` are "key.path=value".

    Raises RecipeError, which names the key, what came and what is allowed.
    """
    values = read_values(path, overrides)
    if path is not None and "prior" not in values and values.keys() & {"codec", "stages"}:
        raise RecipeError(
            f"{path} is a recipe for `vqaudio train`, which makes tokenizers, and not for "
            "`vqaudio prior train`."
        )
    return validate(PriorRecipe, values, "the recipe" if path is None else str(path), _SECTIONS)
