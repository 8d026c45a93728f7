"""A prior as an entropy coder: likely codes take few bits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vqaudio.errors import TokensError, VqaudioError
from vqaudio.prior.files import PriorFile
from vqaudio.prior.layout import layout_of
from vqaudio.prior.stepping import walk
from vqaudio.threads import one_thread

WINDOWS_AT_ONCE = 16
"""Long sounds are coded so many windows in step, which takes no longer than one."""


FLOOR = 0.001
"""Of the probability, shared by all codes: none is impossible, and none is free. It costs at most
0.0015 bits a code."""
SLACK = 128
"""Bits: twice the state of the coder, by which the end of a payload may differ from its content."""


class PriorCoder:
    """A coder (`vqaudio.entropy.Coder`) that asks a prior before each code.

    The decoder must compute the very probabilities of the encoder, to the last bit. So both go
    column by column, in the same batches, on CPU and with one thread. Another kind of processor
    or another version of torch may round otherwise: the file is then refused, as its checksum
    tells. Keep tokens for good by a static coder.
    """

    name = "prior"

    def __init__(self, file: PriorFile) -> None:
        self.prior = file.prior
        self.fingerprint = file.fingerprint
        self.model = file.model
        self._constriction = _constriction()
        self._family = self._constriction.stream.model.Categorical(perfect=False)

    def encode(self, codes: NDArray[np.uint16], codebook_sizes: Sequence[int]) -> bytes:
        """uint16 [Q, T] -> bytes. Raises TokensError for codebooks that the prior does not know."""
        self._check(codebook_sizes)
        encoder = self._constriction.stream.queue.RangeEncoder()
        for first, batch, num_frames in self._groups(codes.shape[1]):
            part = codes[:, first : first + batch * num_frames]
            windows = part.reshape(len(part), batch, num_frames).astype(np.int32)
            taken = [0] * len(windows)

            def choose(
                logits: Tensor,
                level: int,
                windows: NDArray[np.int32] = windows,
                taken: list[int] = taken,
            ) -> Tensor:
                symbols = np.ascontiguousarray(windows[level, :, taken[level]])
                taken[level] += 1
                encoder.encode(symbols, self._family, _probabilities(logits))
                return torch.from_numpy(symbols).long()

            self._walk(num_frames, batch, choose)
        compressed: bytes = encoder.get_compressed().astype("<u4").tobytes()
        return compressed

    def decode(
        self, payload: bytes, codebook_sizes: Sequence[int], num_frames: int
    ) -> NDArray[np.uint16]:
        """What was encoded -> uint16 [Q, num_frames].

        Raises TokensError for bytes that `encode` does not make.
        """
        self._check(codebook_sizes)
        fewest = -math.log2(1 - FLOOR) * num_frames * len(codebook_sizes)
        if len(payload) % 4 or fewest > 8 * len(payload) + SLACK:
            raise TokensError(
                f"{len(payload)} bytes of payload cannot hold {num_frames} frames: get the file "
                "again"
            )
        words = np.frombuffer(payload, "<u4").astype(np.uint32)
        decoder = self._constriction.stream.queue.RangeDecoder(words)

        def choose(logits: Tensor, level: int) -> Tensor:
            probabilities = _probabilities(logits)
            return torch.from_numpy(decoder.decode(self._family, probabilities)).long()

        parts = []
        try:
            for _, batch, frames in self._groups(num_frames):
                windows = self._walk(frames, batch, choose)
                parts.append(windows.transpose(0, 1).flatten(1).numpy().astype(np.uint16))
        except AssertionError as error:  # what constriction raises for bytes that no encoder made
            raise TokensError(f"its payload is damaged ({error}): get the file again") from None
        if not decoder.maybe_exhausted():
            raise TokensError("its payload holds more than its codes: get the file again")
        return np.concatenate(parts, axis=1)

    def _walk(self, num_frames: int, batch: int, choose: Any) -> Tensor:
        layout = layout_of(self.prior.config.pattern, self.prior.codebook_sizes, num_frames)
        condition = tuple(self.prior.condition())  # the decoder knows neither speaker nor text
        with one_thread():
            return walk(self.prior, layout, choose, batch=batch, condition=condition)

    def _groups(self, num_frames: int) -> Iterator[tuple[int, int, int]]:
        """First frame, number of windows and their frames, of what is coded in step."""
        step = self.prior.config.context_frames
        whole, rest = divmod(num_frames, step)
        for window in range(0, whole, WINDOWS_AT_ONCE):
            yield window * step, min(WINDOWS_AT_ONCE, whole - window), step
        if rest:
            yield whole * step, 1, rest

    def _check(self, codebook_sizes: Sequence[int]) -> None:
        if tuple(codebook_sizes) != self.prior.codebook_sizes:
            raise TokensError(
                f"the prior knows codebooks of {self.prior.codebook_sizes}, these are "
                f"{tuple(codebook_sizes)}: take the prior of these tokens"
            )


def _probabilities(logits: Tensor) -> NDArray[np.float32]:
    """[B, K] -> as the range coder takes them; no code is impossible."""
    likely = torch.softmax(logits.double(), dim=-1)
    mixed = (1 - FLOOR) * likely + FLOOR / likely.shape[-1]
    return mixed.float().cpu().numpy()


def _constriction() -> Any:
    try:
        import constriction
    except ImportError:
        raise VqaudioError(
            "entropy coding needs the library constriction: pip install 'vqaudio[entropy]'"
        ) from None
    return constriction
