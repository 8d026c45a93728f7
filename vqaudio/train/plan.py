"""What a recipe amounts to, told before anything is fetched or computed."""

from __future__ import annotations

import io
from typing import Any, NamedTuple

import torch
from ruamel.yaml import YAML

from vqaudio.codec import Codec
from vqaudio.describe import describe_codec, to_lines
from vqaudio.recipe import Recipe


class Plan(NamedTuple):
    """A run in numbers."""

    recipe: Recipe
    codec: dict[str, Any]
    """As `vqaudio.describe.describe_codec` says it."""
    vectors_per_step: int
    """Frames in a batch: what each codebook learns from at a time."""

    @property
    def warning(self) -> str | None:
        """What is likely to go wrong, as a sentence."""
        quantizer, parts = self.recipe.codec.quantizer, self.recipe.data.accumulate
        vectors = self.vectors_per_step // parts
        if vectors >= quantizer.codebook_size or quantizer.codebook == "fsq":  # a grid learns not
            return None
        return (
            f"A {'step' if parts == 1 else 'part of a step'} has {vectors} vectors for "
            f"{quantizer.codebook_size} codes: raise data.batch_size or data.crop_seconds, or "
            "lower codec.quantizer.codebook_size, to have at least as many vectors as codes."
        )

    def lines(self) -> list[str]:
        """The recipe with all its defaults, an empty line, and the numbers, as text."""
        facts = {
            **self.codec,
            "steps": self.recipe.steps,
            "vectors_per_step": self.vectors_per_step,
            "hours_heard": self.recipe.hours_heard,
        }
        lines = [*_to_yaml(self.recipe).splitlines(), "", *to_lines(facts)]
        return lines + ([f"warning: {self.warning}"] if self.warning else [])


def plan(recipe: Recipe) -> Plan:
    """Work out `recipe` from its text alone: no data, no network, no memory for weights."""
    with torch.device("meta"):
        codec = Codec(recipe.codec)
    num_samples = round(recipe.data.crop_seconds * codec.sample_rate)
    frames = -(-num_samples // codec.hop_length)
    return Plan(recipe, describe_codec(codec), recipe.data.batch_size * frames)


def _to_yaml(recipe: Recipe) -> str:
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.width = 10_000
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    text = io.StringIO()
    yaml.dump(recipe.model_dump(mode="json"), text)
    return text.getvalue()
