"""Many streams, each at its own place, computed in one batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from numpy.typing import ArrayLike, NDArray

from vqaudio.errors import VqaudioError
from vqaudio.streaming.decoder import StreamDecoder
from vqaudio.streaming.encoder import StreamEncoder
from vqaudio.streaming.line import advance

Stream = TypeVar("Stream", StreamEncoder, StreamDecoder)


def push_all(streams: Sequence[Stream], inputs: Sequence[ArrayLike]) -> list[NDArray[Any]]:
    """What `push` of each stream returns, computed in as few steps as possible.

    All streams are encoders, or decoders, of one tokenizer with the same number of levels.

    Raises VqaudioError where they are not, AudioError or TokensError for an input that is none:
    then the inputs before it have been taken.
    """
    _check(streams)
    for stream, one in zip(streams, inputs, strict=True):
        stream.feed(one)
    return _advance(streams)


def flush_all(streams: Sequence[Stream]) -> list[NDArray[Any]]:
    """What `flush` of each stream returns; raises as it does, and as `push_all`."""
    _check(streams)
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
