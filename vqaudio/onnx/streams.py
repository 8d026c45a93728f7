"""Sound and codes while they come, by the graphs of steps: `vqaudio.streaming` without torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vqaudio.audio import Intake
from vqaudio.errors import TokensError
from vqaudio.line import FRAMES_AT_ONCE, Line
from vqaudio.onnx.manifest import Manifest, Step
from vqaudio.tokens.fitting import check_codes

Run = Callable[..., list[NDArray[Any]]]
"""input [1, C, n * steps_in], start [1], stop [1], *states -> output [1, C', n * steps_out],
*states."""


def _begin(step: Step, empty: NDArray[Any]) -> Line[Step]:
    states = [np.zeros((1, *shape), np.float32) for shape in step.states]
    return Line(step, empty, states)


def _advance(run: Run, line: Line[Step]) -> list[NDArray[Any]]:
    """Compute all whole frames that wait -> blocks [C', m] of what came out."""
    outputs = []
    while frames := min(line.num_waiting, FRAMES_AT_ONCE):
        start, stop = np.array([line.position]), np.array([line.length])
        output, *states = run(line.first(frames)[None], start, stop, *line.states)
        outputs.append(line.give(output[0], states))
    return outputs


class OnnxStreamEncoder:
    """Turns sound into codes while it comes; made by `OnnxTokenizer.stream_encoder`."""

    def __init__(
        self, run: Run, manifest: Manifest, *, num_codebooks: int, sample_rate: int
    ) -> None:
        self._run = run
        self._line = _begin(manifest.encoder_step, np.zeros((1, 0), np.float32))
        self._intake = Intake(sample_rate, manifest.sample_rate)
        self._empty = np.zeros((num_codebooks, 0), np.uint16)

    def push(self, samples: ArrayLike) -> NDArray[np.uint16]:
        """[S] or [channels, S], any S -> the codes [Q, n] that are known by now; n may be 0.

        Raises AudioError for what is no sound, VqaudioError after `flush`.
        """
        self._line.check_open()
        self._line.feed(self._intake.take(self._intake.check(samples))[None])
        return self._joined(_advance(self._run, self._line))

    def flush(self) -> NDArray[np.uint16]:
        """[Q, n], the codes of the last frames; the stream has ended.

        Raises AudioError when there was no sound at all, VqaudioError when it had ended.
        """
        self._line.check_open()
        self._intake.check_some()
        self._line.feed(self._intake.finish()[None])
        self._line.end()
        return self._joined(_advance(self._run, self._line))

    def _joined(self, blocks: list[NDArray[Any]]) -> NDArray[np.uint16]:
        levels = len(self._empty)
        parts = [self._empty, *(block[:levels].astype(np.uint16) for block in blocks)]
        return np.concatenate(parts, axis=1)


class OnnxStreamDecoder:
    """Turns codes into sound while they come; made by `OnnxTokenizer.stream_decoder`."""

    def __init__(self, run: Run, manifest: Manifest, *, num_codebooks: int) -> None:
        self._levels = len(manifest.codebook_sizes)
        self._sizes = manifest.codebook_sizes[:num_codebooks]
        self._run = run
        self._line = _begin(manifest.decoder_step, np.zeros((self._levels, 0), np.int64))

    def push(self, codes: ArrayLike) -> NDArray[np.float32]:
        """[Q, n], any n -> [S], the samples that are known by now; S may be 0.

        Raises TokensError for what are no codes of this model, VqaudioError after `flush`.
        """
        self._line.check_open()
        self._line.feed(all_levels(check_codes(codes, self._sizes), self._levels))
        return _joined(_advance(self._run, self._line))

    def flush(self) -> NDArray[np.float32]:
        """[S], the samples of the last frames; the stream has ended.

        Whole frames: the length of the sound, where it is known, is for the caller to cut to.

        Raises TokensError when no codes were pushed, VqaudioError when it had ended.
        """
        self._line.check_open()
        if not self._line.fed:
            raise TokensError("no codes were pushed: there is nothing to decode")
        self._line.end()
        return _joined(_advance(self._run, self._line))


def all_levels(codes: NDArray[Any], num_codebooks: int) -> NDArray[np.int64]:
    """[n, T] -> [num_codebooks, T]: the graphs take -1 for a level that is not there."""
    missing = num_codebooks - len(codes)
    return np.pad(codes.astype(np.int64), ((0, missing), (0, 0)), constant_values=-1)


def _joined(blocks: list[NDArray[Any]]) -> NDArray[np.float32]:
    samples: NDArray[np.float32] = np.concatenate(
        [np.zeros(0, np.float32), *(block[0] for block in blocks)]
    )
    return samples
