"""From standard input to standard output while it comes: sound to tokens, and back."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vqaudio.errors import TokensError

if TYPE_CHECKING:
    from vqaudio.tokenizer import Tokenizer
    from vqaudio.tokens import StreamReader


def is_live() -> bool:
    """Whether a .vqs stream comes on standard input; takes nothing of it."""
    from vqaudio.tokens.vqs import MAGIC

    pipe: Any = sys.stdin.buffer
    begin: bytes = pipe.peek(len(MAGIC))
    return begin.startswith(MAGIC)


def tokenize_live(tokenizer: Tokenizer, levels: int | None) -> str:
    """Sound of standard input to a .vqs stream on standard output; returns a summary.

    Raises AudioError, after what came before it has been written.
    """
    from vqaudio import audio
    from vqaudio.tokens import End, StreamWriter

    with audio.read_blocks(sys.stdin.buffer, block_seconds=None) as blocks:
        # Downmixed already, in order, with the position in errors; resampled by the stream.
        encoder = tokenizer.stream_encoder(blocks.sample_rate, num_codebooks=levels)
        codec = tokenizer.codec
        header = {
            "model": tokenizer.fingerprint,
            "sample_rate": codec.sample_rate,
            "hop_length": codec.hop_length,
            "codebook_sizes": codec.codebook_sizes[:levels],
            "source": (blocks.sample_rate,),
        }
        first = next(blocks)  # before anything is written: it may be no sound
        writer = StreamWriter(sys.stdout.buffer, header)
        for block in chain([first], blocks):
            writer.write(encoder.push(block))
        writer.write(encoder.flush())
        writer.end(End(encoder.num_samples, encoder.source_num_samples, blocks.source.num_channels))
    frames = -(-encoder.num_samples // codec.hop_length)
    return (
        f"- -> -: {encoder.num_codebooks} x {frames} codes, "
        f"{encoder.num_samples / codec.sample_rate:.2f} s, {codec.bitrate(levels):.0f} bit/s"
    )


def detokenize_live(tokenizer: Tokenizer) -> str:
    """A .vqs stream of standard input to a wav on standard output; returns a summary.

    The header of the wav knows no length.

    Raises TokensError, after what came before it has been written.
    """
    from vqaudio.audio import PipedWavWriter, Resampler
    from vqaudio.tokens import StreamReader

    try:
        reader = StreamReader(sys.stdin.buffer)
        tokenizer.check_model(reader)
        rate = reader.source_rate or reader.sample_rate
        resampler = Resampler(reader.sample_rate, rate)
        writer = PipedWavWriter(sys.stdout.buffer, rate)
        try:
            for block in _decoded(tokenizer, reader):
                writer.write(resampler.push(block))
        except TokensError:
            writer.write(resampler.finish())
            raise
    except TokensError as error:
        raise TokensError(f"standard input cannot be used: {error}") from None
    assert reader.end is not None
    rest = resampler.finish()
    length = reader.end.source_num_samples or reader.end.num_samples
    writer.write(rest[: max(length - writer.num_samples, 0)])
    return f"- -> -: {writer.num_samples} samples at {rate} Hz"


def _decoded(tokenizer: Tokenizer, reader: StreamReader) -> Iterator[NDArray[np.float32]]:
    """The sound of a stream; its last frame waits for the end, which says where to cut.

    Raises TokensError as the reader does, after the sound of all that came.
    """
    decoder = tokenizer.stream_decoder(num_codebooks=reader.num_codebooks)
    held = np.zeros((reader.num_codebooks, 0), np.uint16)
    try:
        for codes in reader:
            codes = np.concatenate([held, codes], axis=1)
            held = codes[:, -1:]
            yield decoder.push(codes[:, :-1])
        if not held.size:
            raise TokensError("it holds no codes: tokenize the sound again")
    except TokensError:
        if held.size:
            yield np.concatenate([decoder.push(held), decoder.flush()])
        raise
    assert reader.end is not None
    before = decoder.num_samples
    last = np.concatenate([decoder.push(held), decoder.flush(reader.end.num_samples)])
    yield last[: reader.end.num_samples - before]
