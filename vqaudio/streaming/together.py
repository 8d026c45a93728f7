"""Many streams, each at its own place, computed in one batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from numpy.typing import ArrayLike, NDArray

from vqaudio.errors import VqaudioError
from vqaudio.streaming.decoder import StreamDecoder
from vqaudio.streaming.encoder import StreamEncoder
from vqaudio.streaming.side import advance

Stream = TypeVar("Stream", StreamEncoder, StreamDecoder)


def push_all(streams: Sequence[Stream], inputs: Sequence[ArrayLike]) -> list[NDArray[Any]]:
    """What `push` of each stream returns, computed in as few steps as possible.

    All streams are encoders, or decoders, of one tokenizer with the same number of levels.

    Raises VqaudioError where they are not, AudioError or TokensError for an input that is none;
    then nothing has been taken of any.
    """
    _check(streams)
    if len(inputs) != len(streams):
        raise VqaudioError(f"{len(inputs)} inputs came for {len(streams)} streams")
    checked = [stream.check(one) for stream, one in zip(streams, inputs, strict=True)]
    for stream, block in zip(streams, checked, strict=True):
        stream.take(block)
    return _advance(streams)


def flush_all(streams: Sequence[Stream]) -> list[NDArray[Any]]:
    """What `flush` of each stream returns; raises as it does, and then none has ended."""
    _check(streams)
    for stream in streams:
        stream.check_end()
    for stream in streams:
        stream.end()
    return _advance(streams)


def _advance(streams: Sequence[Stream]) -> list[NDArray[Any]]:
    outputs = advance([stream.line for stream in streams])
    return [stream.give(output) for stream, output in zip(streams, outputs, strict=True)]


def _check(streams: Sequence[Stream]) -> None:
    if any(stream.line.side is not streams[0].line.side for stream in streams):
        raise VqaudioError(
            "streams that are computed together have one tokenizer, one direction and the same "
            "number of levels: push the others by themselves"
        )
    if len(set(map(id, streams))) < len(streams):
        raise VqaudioError("a stream is there twice: join its inputs")
