"""Recipes: a whole training run in one strict YAML file."""

from vqaudio.recipe.config import (
    WITHOUT_EFFECT,
    CollapseConfig,
    CorpusConfig,
    DataConfig,
    DiscriminatorOptimizerConfig,
    LossConfig,
    OptimizerConfig,
    Recipe,
    SemanticConfig,
    StageConfig,
)
from vqaudio.recipe.reading import load_recipe, parse_recipe, read_values, validate

__all__ = [
    "WITHOUT_EFFECT",
    "CollapseConfig",
    "CorpusConfig",
    "DataConfig",
    "DiscriminatorOptimizerConfig",
    "LossConfig",
    "OptimizerConfig",
    "Recipe",
    "SemanticConfig",
    "StageConfig",
    "load_recipe",
    "parse_recipe",
    "read_values",
    "validate",
]
