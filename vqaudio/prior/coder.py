"""A prior as an entropy coder: likely codes take few bits."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vqaudio.entropy.ranges import decoding, listed, payload_of, range_coder
from vqaudio.errors import TokensError
from vqaudio.prior.files import PriorFile
from vqaudio.prior.layout import layout_of
from vqaudio.prior.stepping import Choose, walk
from vqaudio.threads import one_thread

WINDOWS_AT_ONCE = 16
"""Long sounds are coded so many windows in step, which takes little longer than one."""
FLOOR = 0.001
"""Of the probability, shared by all codes: none is impossible, and none is free. It costs at most
0.0015 bits a code."""


class PriorCoder:
    """A coder (`vqaudio.entropy.Coder`) that asks a prior before each code.

    The decoder must compute the very probabilities of the encoder, to the last bit. So both go
    column by column, in the same batches, on CPU and with one thread. Another kind of processor
    or another version of torch may round otherwise: the file is then refused, as its checksum
    tells. Keep tokens for good by a static coder.
    """

    name = "prior"

    def __init__(self, file: PriorFile) -> None:
        """Raises TokensError where the library constriction is not installed."""
        stream = range_coder()
        self._queue = stream.queue
        self._family = stream.model.Categorical(perfect=False)
        # One of its own: `file.prior` may go to another device, or on with its training.
        self.prior = copy.deepcopy(file.prior).cpu().eval()
        self.fingerprint = file.fingerprint
        self.model = file.model

    def encode(self, codes: NDArray[np.uint16], codebook_sizes: Sequence[int]) -> bytes:
        """uint16 [Q, T] -> bytes. Raises TokensError for codebooks that the prior does not know."""
        self._check(codebook_sizes)
        encoder = self._queue.RangeEncoder()
        for first, batch, num_frames in self._groups(codes.shape[1]):
            part = codes[:, first : first + batch * num_frames]
            windows = part.reshape(len(part), batch, num_frames).astype(np.int32)

            def choose(
                logits: Tensor, level: int, frame: int, windows: NDArray[np.int32] = windows
            ) -> Tensor:
                symbols = np.ascontiguousarray(windows[level, :, frame])
                if logits.shape[-1] > 1:  # else there is nothing to say
                    encoder.encode(symbols, self._family, _probabilities(logits))
                return torch.from_numpy(symbols).long()

            self._walk(num_frames, batch, choose)
        return payload_of(encoder)

    def decode(
        self, payload: bytes, codebook_sizes: Sequence[int], num_frames: int
    ) -> NDArray[np.uint16]:
        """What was encoded -> uint16 [Q, num_frames].

        Raises TokensError for bytes that `encode` does not make.
        """
        self._check(codebook_sizes)
        # The likeliest code of K has a probability of 1 - FLOOR + FLOOR / K, or a rounding more.
        fewest = -0.99 * sum(math.log2(1 - FLOOR + FLOOR / size) for size in codebook_sizes)
        with decoding(payload, num_frames, fewest_bits=num_frames * fewest) as decoder:

            def choose(logits: Tensor, level: int, frame: int) -> Tensor:
                if logits.shape[-1] == 1:
                    return torch.zeros(len(logits), dtype=torch.long)
                found = decoder.decode(self._family, _probabilities(logits))
                return torch.from_numpy(found).long()

            codes = np.zeros((len(codebook_sizes), num_frames), np.uint16)
            for first, batch, frames in self._groups(num_frames):
                windows = self._walk(frames, batch, choose).transpose(0, 1).flatten(1)
                codes[:, first : first + batch * frames] = windows.numpy()
        return codes

    def _walk(self, num_frames: int, batch: int, choose: Choose) -> Tensor:
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
                f"the prior is for codebooks of {listed(self.prior.codebook_sizes)}, these are "
                f"{listed(codebook_sizes)}: take a prior that was trained on as many levels"
            )


def _probabilities(logits: Tensor) -> NDArray[np.float32]:
    """[B, K] -> as the range coder takes them; no code is impossible."""
    likely = torch.softmax(logits.double(), dim=-1)
    mixed = (1 - FLOOR) * likely + FLOOR / likely.shape[-1]
    return mixed.float().cpu().numpy()
