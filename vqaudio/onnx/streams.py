"""Sound and codes while they come, by the graphs of steps: `vqaudio.streaming` without torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vqaudio.audio import Resampler, as_mono
from vqaudio.audio.reading import no_samples
from vqaudio.errors import TokensError, VqaudioError
from vqaudio.onnx.manifest import Manifest, Step

FRAMES_AT_ONCE = 500
"""Of what was pushed at once, as many are computed in a step: memory stays bounded."""

ENDLESS = 2**40
"""The length of a stream that has not ended."""

Run = Callable[..., list[NDArray[Any]]]
"""input [1, C, n * steps_in], start [1], stop [1], *states -> output [1, C', n * steps_out],
*states."""


class Line:
    """One stream on its way through a graph of steps."""

    def __init__(self, run: Run, step: Step, empty: NDArray[Any]) -> None:
        """`empty` [C, 0] says how many channels come in, and of which type."""
        self.run = run
        self.step = step
        self.states = [np.zeros((1, *shape), np.float32) for shape in step.states]
        self.frame = -1 if step.lead else 0
        """The next one to enter; frame -1 is of the lead, after steps before the beginning."""
        self.fed = 0
        """Steps."""
        self.ended = False
        self.waiting = np.pad(empty, ((0, 0), (0, -self.position)))

    @property
    def position(self) -> int:
        """The place in the stream of the first step that waits."""
        return self.frame * self.step.steps_in + self.step.lead

    def push(self, block: NDArray[Any]) -> list[NDArray[Any]]:
        """[C, n], any n -> blocks [C', m] of what is known by now."""
        self.fed += block.shape[1]
        self.waiting = np.concatenate([self.waiting, block], axis=1)
        return self._advance()

    def end(self) -> list[NDArray[Any]]:
        """Blocks [C', m] of what the layers have been waiting for; nothing more may come."""
        self.ended = True
        step = self.step
        frames = -(-self.fed // step.steps_in) + -(-step.delay // step.steps_out)
        missing = frames * step.steps_in + step.lead - self.fed
        self.waiting = np.pad(self.waiting, ((0, 0), (0, missing)))
        return self._advance()

    def check_open(self) -> None:
        """Raises VqaudioError for a stream that has ended."""
        if self.ended:
            raise VqaudioError("the stream has ended: make a new one")

    def _advance(self) -> list[NDArray[Any]]:
        outputs = []
        while frames := min(self.waiting.shape[1] // self.step.steps_in, FRAMES_AT_ONCE):
            size = frames * self.step.steps_in
            taken, self.waiting = self.waiting[None, :, :size], self.waiting[:, size:]
            start = np.array([self.position])
            stop = np.array([self.fed if self.ended else ENDLESS])
            output, *self.states = self.run(taken, start, stop, *self.states)
            outputs.append(self._give(output[0]))
        return outputs

    def _give(self, output: NDArray[Any]) -> NDArray[Any]:
        """[C', n] of the frames that entered -> what of it belongs to the stream."""
        step = self.step
        first = self.frame * step.steps_out - step.delay
        self.frame += output.shape[1] // step.steps_out
        stop = -(-self.fed // step.steps_in) * step.steps_out if self.ended else ENDLESS
        return output[:, max(-first, 0) : max(stop - first, 0)]


class OnnxStreamEncoder:
    """Turns sound into codes while it comes; made by `OnnxTokenizer.stream_encoder`."""

    def __init__(
        self, run: Run, manifest: Manifest, *, num_codebooks: int, sample_rate: int
    ) -> None:
        self._line = Line(run, manifest.encoder_step, np.zeros((1, 0), np.float32))
        self._resampler = Resampler(sample_rate, manifest.sample_rate)
        self._pushed = 0
        self._empty = np.zeros((num_codebooks, 0), np.uint16)

    def push(self, samples: ArrayLike) -> NDArray[np.uint16]:
        """[S] or [channels, S], any S -> the codes [Q, n] that are known by now; n may be 0.

        Raises AudioError for what is no sound, VqaudioError after `flush`.
        """
        self._line.check_open()
        mono = as_mono(samples, self._resampler.source_rate, position=self._pushed)
        block = self._resampler.push(mono)
        self._pushed += len(mono)
        return self._joined(self._line.push(block[None]))

    def flush(self) -> NDArray[np.uint16]:
        """[Q, n], the codes of the last frames; the stream has ended.

        Raises AudioError when there was no sound at all, VqaudioError when it had ended.
        """
        self._line.check_open()
        if not self._pushed:
            raise no_samples("the stream")
        last = self._line.push(self._resampler.finish()[None])
        return self._joined([*last, *self._line.end()])

    def _joined(self, blocks: list[NDArray[Any]]) -> NDArray[np.uint16]:
        levels = len(self._empty)
        parts = [self._empty, *(block[:levels].astype(np.uint16) for block in blocks)]
        return np.concatenate(parts, axis=1)


class OnnxStreamDecoder:
    """Turns codes into sound while they come; made by `OnnxTokenizer.stream_decoder`."""

    def __init__(self, run: Run, manifest: Manifest, *, num_codebooks: int) -> None:
        self._levels = len(manifest.codebook_sizes)
        self._sizes = np.array(manifest.codebook_sizes[:num_codebooks])[:, None]
        self._line = Line(run, manifest.decoder_step, np.zeros((self._levels, 0), np.int64))

    def push(self, codes: ArrayLike) -> NDArray[np.float32]:
        """[Q, n], any n -> [S], the samples that are known by now; S may be 0.

        Raises TokensError for what are no codes of this model, VqaudioError after `flush`.
        """
        self._line.check_open()
        return _joined(self._line.push(all_levels(self._checked(codes), self._levels)))

    def flush(self) -> NDArray[np.float32]:
        """[S], the samples of the last frames; the stream has ended."""
        self._line.check_open()
        if not self._line.fed:
            raise TokensError("no codes were pushed: there is nothing to decode")
        return _joined(self._line.end())

    def _checked(self, codes: ArrayLike) -> NDArray[Any]:
        array, sizes = np.asarray(codes), self._sizes
        if array.ndim != 2 or array.dtype.kind not in "iu" or len(array) != len(sizes):
            raise TokensError(
                f"the stream takes integers of shape [{len(sizes)}, n], not {array.dtype} of "
                f"{list(array.shape)}"
            )
        if ((array < 0) | (array >= sizes)).any():
            raise TokensError(
                f"codes from {array.min()} to {array.max()} do not fit codebooks of "
                f"{', '.join(map(str, sizes[:, 0]))}"
            )
        return array


def all_levels(codes: NDArray[Any], num_codebooks: int) -> NDArray[np.int64]:
    """[n, T] -> [num_codebooks, T]: the graphs take -1 for a level that is not there."""
    missing = num_codebooks - len(codes)
    return np.pad(codes.astype(np.int64), ((0, missing), (0, 0)), constant_values=-1)


def _joined(blocks: list[NDArray[Any]]) -> NDArray[np.float32]:
    samples: NDArray[np.float32] = np.concatenate(
        [np.zeros(0, np.float32), *(block[0] for block in blocks)]
    )
    return samples
