"""Sound for text models: codes as tokens of a Hugging Face tokenizer, and BPE over codes.

    processor = AudioTextProcessor.build("gpt2", vqaudio.load())
    batch = processor("it says <|audio|>", "in.wav")            # input_ids, attention_mask
    decoded = processor.decode(model.generate(**batch)[0])      # text and Tokens
    waveform = processor.waveform(decoded.tokens[0])

`VqaudioModel` is a model of ours as an audio tokenizer of `transformers`. That library is imported
where it is used: `pip install 'vqaudio[hf]'` brings it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vqaudio.huggingface.bpe import AudioBpe, train_bpe
from vqaudio.huggingface.layout import Layout
from vqaudio.huggingface.processor import AudioTextProcessor
from vqaudio.huggingface.reading import PLACEHOLDER, Decoded
from vqaudio.huggingface.text_tokenizer import find_offset, text_tokenizer
from vqaudio.metrics.libraries import load_library

if TYPE_CHECKING:
    from vqaudio.huggingface.model import VqaudioConfig, VqaudioModel

__all__ = [
    "PLACEHOLDER",
    "AudioBpe",
    "AudioTextProcessor",
    "Decoded",
    "Layout",
    "VqaudioConfig",
    "VqaudioModel",
    "find_offset",
    "text_tokenizer",
    "train_bpe",
]


def __getattr__(name: str) -> object:
    # Their bases are classes of transformers, which takes seconds to import.
    if name in ("VqaudioConfig", "VqaudioModel"):
        load_library("transformers", name, "transformers", extra="hf")
        from vqaudio.huggingface import model

        return getattr(model, name)
    raise AttributeError(f"module 'vqaudio.huggingface' has no attribute {name!r}")
