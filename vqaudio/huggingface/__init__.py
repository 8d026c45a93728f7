"""Sound for text models: codes as tokens of a Hugging Face tokenizer, and BPE over codes.

    processor = AudioTextProcessor.build("gpt2", vqaudio.load())
    batch = processor("it says <|audio|>", "in.wav")            # input_ids, attention_mask
    decoded = processor.decode(model.generate(**batch)[0])      # text and Tokens
    waveform = processor.waveform(decoded.tokens[0])

`transformers` is imported where it is used: `pip install 'vqaudio[hf]'` brings it.
"""

from vqaudio.huggingface.bpe import AudioBpe, train_bpe
from vqaudio.huggingface.layout import Layout
from vqaudio.huggingface.processor import AudioTextProcessor
from vqaudio.huggingface.reading import PLACEHOLDER, Decoded
from vqaudio.huggingface.text_tokenizer import find_offset, text_tokenizer

__all__ = [
    "PLACEHOLDER",
    "AudioBpe",
    "AudioTextProcessor",
    "Decoded",
    "Layout",
    "find_offset",
    "text_tokenizer",
    "train_bpe",
]
