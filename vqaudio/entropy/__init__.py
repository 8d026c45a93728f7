"""Codes to few bytes and back: packing, and range coding with a table of frequencies.

    frequencies = Frequencies.load("speech.frequencies.npz")
    tokens.save("in.vqa", coder=Static(frequencies))

What codes alone need: arrays and codebook sizes, no `Tokens`.
"""

from vqaudio.entropy.bundled import bundled_frequencies
from vqaudio.entropy.coder import CODERS, Coder
from vqaudio.entropy.frequencies import Frequencies, count
from vqaudio.entropy.packed import Packed
from vqaudio.entropy.static import Static

__all__ = [
    "CODERS",
    "Coder",
    "Frequencies",
    "Packed",
    "Static",
    "bundled_frequencies",
    "count",
]
