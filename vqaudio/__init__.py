"""Discrete tokens for speech and audio.

    import vqaudio

    tokenizer = vqaudio.load()                  # the bundled model
    tokens = tokenizer.encode_file("in.wav")    # Tokens(8 x 500 codes, 10.00 s at 16000 Hz, ...)
    tokens.save("in.npz")
    waveform = tokenizer.decode(tokens)         # [1, num_samples]

Shapes everywhere: B batch, S samples, T frames, D latent dimension, Q codebooks, K codes per book.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from vqaudio.errors import (
    AudioError,
    CorpusError,
    MissingError,
    ModelError,
    RecipeError,
    TokensError,
    TrainingError,
    VqaudioError,
)
from vqaudio.tokens import Tokens

if TYPE_CHECKING:
    from vqaudio.tokenizer import Tokenizer

__version__ = "0.1.0"

__all__ = [
    "AudioError",
    "CorpusError",
    "MissingError",
    "ModelError",
    "RecipeError",
    "Tokenizer",
    "Tokens",
    "TokensError",
    "TrainingError",
    "VqaudioError",
    "load",
]


def load(model: str | os.PathLike[str] | None = None, *, device: str = "auto") -> Tokenizer:
    """A tokenizer from a model file, the name of a bundled model (None: the default), or user/model
    of the hub of Hugging Face.

    Of a codec of others, `model` is hf: and its repository on the hub, or the folder of its files.
    `device` is "auto" (CUDA where there is one), "cpu", "cuda" or "cuda:1".

    Raises ModelError when there is no such model or device, MissingError when what it takes is
    not on this machine and cannot be fetched.
    """
    from vqaudio.tokenizer import load as load_tokenizer

    return load_tokenizer(model, device=device)


def __getattr__(name: str) -> object:
    # Importing torch takes two seconds, which `vqaudio --help` and token files do not need.
    if name == "Tokenizer":
        from vqaudio.tokenizer import Tokenizer

        return Tokenizer
    raise AttributeError(f"module 'vqaudio' has no attribute {name!r}")
