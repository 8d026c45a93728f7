"""Layers of the encoders and decoders.

Shapes everywhere: B batch, C channels, T steps (frames or samples), S samples, F frequency bins.

Every layer that looks along time keeps four promises, on which the token contract stands:

* `forward(x, lengths)` treats whatever lies beyond `lengths` of an item as zeros, exactly as the
  same item alone would see the zero padding at its end. Batch mates change nothing.
* A `Flow` in place of `lengths` takes a part of a sequence at a time, and gives what the whole
  would give, as late as the layer looks ahead.
* It turns T steps into ceil(T / stride) or T * stride steps, for every T >= 1.
* `needs(span)` says which input steps a span of output steps is computed from. Receptive field,
  latency and the context of a chunk follow from it; nobody guesses them.
"""

from vqaudio.layers.conv import Conv1d, ConvTranspose1d, FrameConv1d
from vqaudio.layers.convnext import ConvNeXtBlock, FrameNorm
from vqaudio.layers.edges import Flow, Lengths, longer, shorter
from vqaudio.layers.linear import FrameLinear, Packed, can_pack, freeze
from vqaudio.layers.span import Layer, Span, needs_through
from vqaudio.layers.stft import Spectra, SpectralAnalysis, SpectralSynthesis

__all__ = [
    "Conv1d",
    "ConvNeXtBlock",
    "ConvTranspose1d",
    "Flow",
    "FrameConv1d",
    "FrameLinear",
    "FrameNorm",
    "Layer",
    "Lengths",
    "Packed",
    "Span",
    "Spectra",
    "SpectralAnalysis",
    "SpectralSynthesis",
    "can_pack",
    "freeze",
    "longer",
    "needs_through",
    "shorter",
]
