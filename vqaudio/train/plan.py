"""What a recipe amounts to, told before anything is fetched or computed."""

from __future__ import annotations

import io
from dataclasses import dataclass

import torch
from ruamel.yaml import YAML
from torch import nn

from vqaudio.codec import Codec
from vqaudio.recipe import Recipe


@dataclass(frozen=True)
class Plan:
    """A run in numbers."""

    recipe: Recipe
    encoder_parameters: int
    decoder_parameters: int
    codebook_parameters: int
    """Values in the centroids of all levels."""
    receptive_field: int
    """Samples that a frame is encoded from."""
    latency: float
    """Seconds from a sample's arrival until it can be played, computing not counted."""
    frame_rate: float
    """Frames per second."""
    bitrates: tuple[float, ...]
    """bit/s with the first level, the first two, ... all."""
    vectors_per_step: int
    """Frames in a batch: what each codebook learns from at a time."""

    @property
    def parameters(self) -> int:
        """Of the whole model."""
        return self.encoder_parameters + self.decoder_parameters + self.codebook_parameters

    @property
    def tokens_per_second(self) -> float:
        """Of all levels."""
        return self.frame_rate * len(self.bitrates)

    @property
    def warning(self) -> str | None:
        """What is likely to go wrong, as a sentence."""
        codebook_size = self.recipe.codec.quantizer.codebook_size
        if self.vectors_per_step >= codebook_size:
            return None
        return (
            f"A step has {self.vectors_per_step} vectors for {codebook_size} codes: raise "
            "data.batch_size or data.crop_seconds, or lower codec.quantizer.codebook_size, to have "
            "at least as many vectors as codes."
        )

    def lines(self) -> list[str]:
        """The recipe with all its defaults, and the numbers, as text."""
        recipe = self.recipe
        bitrates = " ".join(f"{rate:g}" for rate in self.bitrates)
        facts = {
            "parameters": (
                f"{self.parameters:,} (encoder {self.encoder_parameters:,}, "
                f"decoder {self.decoder_parameters:,}, codebooks {self.codebook_parameters:,})"
            ),
            "receptive field": (
                f"{self.receptive_field} samples, "
                f"{1000 * self.receptive_field / recipe.codec.sample_rate:g} ms"
            ),
            "latency": f"{1000 * self.latency:g} ms",
            "frame rate": f"{self.frame_rate:g} frames/s",
            "tokens": f"{self.tokens_per_second:g} tokens/s",
            "bitrates": f"{bitrates} bit/s with 1 to {len(self.bitrates)} levels",
            "steps": f"{recipe.steps}, {self.vectors_per_step} vectors each",
            "heard": f"{recipe.hours_heard:.2f} hours of speech",
        }
        lines = [*_to_yaml(recipe).splitlines(), ""]
        lines += [f"{name + ':':17}{fact}" for name, fact in facts.items()]
        return lines + ([f"warning: {self.warning}"] if self.warning else [])


def plan(recipe: Recipe) -> Plan:
    """Work out `recipe` from its text alone: no data, no network, no memory for weights."""
    with torch.device("meta"):
        codec = Codec(recipe.codec)
    span = codec.receptive_field
    num_samples = round(recipe.data.crop_seconds * codec.sample_rate)
    return Plan(
        recipe=recipe,
        encoder_parameters=_count(codec.encoder),
        decoder_parameters=_count(codec.decoder),
        codebook_parameters=sum(book.centroids.numel() for book in codec.quantizer.books),
        receptive_field=span.last - span.first + 1,
        latency=codec.latency,
        frame_rate=codec.frame_rate,
        bitrates=tuple(codec.bitrate(n + 1) for n in range(len(codec.codebook_sizes))),
        vectors_per_step=recipe.data.batch_size * -(-num_samples // codec.hop_length),
    )


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _to_yaml(recipe: Recipe) -> str:
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.width = 10_000
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    text = io.StringIO()
    yaml.dump(recipe.model_dump(mode="json"), text)
    return text.getvalue()
