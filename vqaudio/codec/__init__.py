"""The codec: encoder, quantizer, decoder."""

from vqaudio.codec.any_codec import AnyCodec
from vqaudio.codec.codec import Codec, CodecOutput, Context
from vqaudio.codec.config import CodecConfig, FramesConfig, QuantizerConfig, WaveformConfig

__all__ = [
    "AnyCodec",
    "Codec",
    "CodecConfig",
    "CodecOutput",
    "Context",
    "FramesConfig",
    "QuantizerConfig",
    "WaveformConfig",
]
