"""A stream put away as bytes: what its layers remember and what waits, to go on elsewhere."""

from __future__ import annotations

from typing import Any

import torch

from vqaudio import npz
from vqaudio.errors import VqaudioError
from vqaudio.line import Line
from vqaudio.streaming.side import Side

FORMAT_VERSION = 1
MAX_BYTES = 1 << 28
"""A snapshot takes some 100 KB and what waits, less than a frame."""


def snapshot(line: Line[Side], facts: dict[str, Any]) -> bytes:
    """`facts` say what the line is one of, and are compared when it is restored."""
    header = {**facts, "stream": FORMAT_VERSION, "frame": line.frame, "fed": line.fed}
    states = {f"state{n}": state.cpu().numpy() for n, state in enumerate(line.states)}
    return npz.pack(header, waiting=line.waiting, **states)


def restore(line: Line[Side], data: bytes, facts: dict[str, Any]) -> dict[str, Any]:
    """Put the line where `snapshot` was called; returns all facts of then.

    Raises VqaudioError for bytes of something else, or of another kind of line.
    """
    try:
        header, _ = npz.unpack(data, max_bytes=MAX_BYTES)
        version, frame, fed = header["stream"], int(header["frame"]), int(header["fed"])
        other = {name: header.get(name) for name in facts if header.get(name) != facts[name]}
        if version != FORMAT_VERSION or other:
            wanted = {name: facts[name] for name in other}
            raise VqaudioError(
                f"the stream that was put away has {other or version}, this one "
                f"{wanted or FORMAT_VERSION}: resume it with the same model and levels"
            )
        names = [f"state{n}" for n in range(len(line.states))]
        arrays = npz.unpack(data, "waiting", *names, max_bytes=MAX_BYTES).arrays
        waiting = arrays["waiting"]
        states = [torch.from_numpy(arrays[name]) for name in names]
    except VqaudioError:
        raise
    except Exception as error:  # zip, array and JSON readers raise a dozen types between them
        raise VqaudioError(
            f"these {len(data)} bytes are no stream that was put away ({type(error).__name__}): "
            "give what to_bytes returned"
        ) from error
    if [_kind(one) for one in (*states, waiting[:, :0])] != [
        _kind(one) for one in (*line.states, line.waiting[:, :0])
    ]:
        raise VqaudioError("the stream that was put away is of another decoder: start a new one")
    line.states = [state.to(line.side.device) for state in states]
    line.frame, line.fed, line.waiting = frame, fed, waiting
    return header


def _kind(array: Any) -> tuple[Any, ...]:
    return (array.dtype, *array.shape)
