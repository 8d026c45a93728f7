"""Recipes: a whole training run in one strict YAML file."""

from vqaudio.recipe.config import (
    CorpusConfig,
    DataConfig,
    LossConfig,
    OptimizerConfig,
    Recipe,
)
from vqaudio.recipe.reading import load_recipe, parse_recipe

__all__ = [
    "CorpusConfig",
    "DataConfig",
    "LossConfig",
    "OptimizerConfig",
    "Recipe",
    "load_recipe",
    "parse_recipe",
]
