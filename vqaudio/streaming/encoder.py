"""Samples in, codes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vqaudio.audio import Block, Intake
from vqaudio.codec import Codec
from vqaudio.errors import VqaudioError
from vqaudio.line import Line
from vqaudio.streaming.side import Side, advance
from vqaudio.streaming.snapshot import restore, snapshot
from vqaudio.tokens import Source, Tokens


class StreamEncoder:
    """Turns sound into codes while it comes; made by `Tokenizer.stream_encoder`.

    Together, what `push` and `flush` return are the codes of the whole sound. A frame comes out
    `delay` seconds after its last sample, computing not counted.
    """

    def __init__(
        self,
        codec: Codec,
        side: Side,
        *,
        model: str,
        num_codebooks: int,
        sample_rate: int,
    ) -> None:
        """`side` is that of `codec`; `model` its fingerprint; `sample_rate` in Hz, of the input."""
        self.codec = codec
        self.model = model
        self.num_codebooks = num_codebooks
        self._intake = Intake(sample_rate, codec.sample_rate)
        self.line = Line(side, np.zeros((1, 0), np.float32), side.blank)

    @property
    def sample_rate(self) -> int:
        """Hz, of the input."""
        return self._intake.source_rate

    @property
    def source_num_samples(self) -> int:
        """Pushed so far per channel, at the rate of the input."""
        return self._intake.num_samples

    @property
    def num_channels(self) -> int | None:
        """Of the input, once some has come."""
        return self._intake.num_channels

    @property
    def num_samples(self) -> int:
        """Pushed so far, at the rate of the model."""
        return self.line.fed

    @property
    def delay(self) -> float:
        """Seconds of sound after a frame that its code waits for; resampling adds some samples."""
        side = self.line.side
        return (side.delay * side.steps_in + side.lead) / self.codec.sample_rate

    def push(self, samples: ArrayLike) -> NDArray[np.uint16]:
        """[S] or [channels, S], any S -> the codes [Q, n] that are known by now; n may be 0.

        Raises AudioError for what is no sound, which leaves the stream as it was; VqaudioError
        after `flush`.
        """
        self.take(self.check(samples))
        return self.give(advance([self.line])[0])

    def flush(self) -> NDArray[np.uint16]:
        """[Q, n], the codes of the last frames; the stream has ended.

        Raises AudioError when there was no sound at all, VqaudioError when it had ended.
        """
        self.end()
        return self.give(advance([self.line])[0])

    def check(self, samples: ArrayLike) -> Block:
        """What `push` takes, checked; changes nothing."""
        self.line.check_open()
        return self._intake.check(samples)

    def take(self, block: Block) -> None:
        """Take samples without computing."""
        self.line.feed(self._intake.take(block)[None])

    def check_end(self) -> None:
        """Raises what `flush` would raise; changes nothing."""
        self.line.check_open()
        self._intake.check_some()

    def end(self) -> None:
        """Take no more samples, without computing; `flush` does both."""
        self.check_end()
        self.line.feed(self._intake.finish()[None])
        self.line.end()

    def give(self, output: NDArray[Any]) -> NDArray[np.uint16]:
        """[Q, n] as the line gives it -> codes as tokens hold them."""
        return output.astype(np.uint16)

    def to_tokens(self, parts: Sequence[NDArray[np.uint16]]) -> Tokens:
        """All that `push` and `flush` have returned, as `Tokenizer.encode` would give it.

        Raises TokensError when something is missing.
        """
        codec = self.codec
        return Tokens(
            np.concatenate([np.zeros((self.num_codebooks, 0), np.uint16), *parts], axis=1),
            num_samples=self.num_samples,
            sample_rate=codec.sample_rate,
            hop_length=codec.hop_length,
            codebook_sizes=codec.codebook_sizes[: self.num_codebooks],
            model=self.model,
            source=Source(self.sample_rate, self.source_num_samples, self.num_channels or 1),
        )

    def to_bytes(self) -> bytes:
        """The stream as it is now, for `Tokenizer.stream_encoder(resume=...)`.

        Raises VqaudioError after `flush`, and where the stream resamples.
        """
        self.line.check_open()
        if self.sample_rate != self.codec.sample_rate:
            raise VqaudioError(
                f"a stream that resamples from {self.sample_rate} Hz cannot be put away: push "
                f"sound at {self.codec.sample_rate} Hz"
            )
        return snapshot(self.line, {**self._facts, "num_channels": self.num_channels})

    def restore(self, data: bytes) -> None:
        """Go on where `to_bytes` was called; raises VqaudioError for other bytes."""
        header = restore(self.line, data, self._facts)
        self._intake.num_channels = header["num_channels"]
        self._intake.num_samples = self.line.fed

    @property
    def _facts(self) -> dict[str, Any]:
        return {
            "kind": "encoder",
            "model": self.model,
            "num_codebooks": self.num_codebooks,
            "sample_rate": self.sample_rate,
        }
