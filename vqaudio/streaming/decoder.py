"""Codes in, samples out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vqaudio.codec import Codec
from vqaudio.errors import TokensError
from vqaudio.line import Line
from vqaudio.streaming.side import Side, advance
from vqaudio.streaming.snapshot import restore, snapshot
from vqaudio.tokens.fitting import check_codes


class StreamDecoder:
    """Turns codes into sound while they come; made by `Tokenizer.stream_decoder`.

    Together, what `push` and `flush` return is the sound that decoding all codes at once gives. The
    first sample of a frame comes out `delay` seconds of codes after the frame.
    """

    def __init__(self, codec: Codec, side: Side, *, model: str, num_codebooks: int) -> None:
        """`side` is that of `codec`; `model` its fingerprint."""
        self.codec = codec
        self.model = model
        self.num_codebooks = num_codebooks
        self.num_samples = 0
        """Given out so far."""
        self._length: int | None = None
        self.line = Line(side, np.zeros((num_codebooks, 0), np.int64), side.blank)

    @property
    def delay(self) -> float:
        """Seconds of codes that are looked at after a frame before it sounds."""
        return self.line.side.delay / self.codec.sample_rate

    def push(self, codes: ArrayLike) -> NDArray[np.float32]:
        """[Q, n], any n -> [S], the samples that are known by now; S may be 0.

        Raises TokensError for what are no codes of this model, which leaves the stream as it was;
        VqaudioError after `flush`.
        """
        self.take(self.check(codes))
        return self.give(advance([self.line])[0])

    def flush(self, num_samples: int | None = None) -> NDArray[np.float32]:
        """[S], the last samples; the stream has ended.

        `num_samples`, of the whole sound, cuts what is over of the last frame (None: nothing). A
        model that does not look ahead has given all of that frame already.

        Raises TokensError when `num_samples` does not fit the frames or there were none,
        VqaudioError when the stream had ended.
        """
        self.end(num_samples)
        return self.give(advance([self.line])[0])

    def check(self, codes: ArrayLike) -> NDArray[np.int64]:
        """What `push` takes, checked; changes nothing."""
        self.line.check_open()
        sizes = self.codec.codebook_sizes[: self.num_codebooks]
        return check_codes(codes, sizes).astype(np.int64)

    def take(self, codes: NDArray[np.int64]) -> None:
        """Take codes without computing."""
        self.line.feed(codes)

    def check_end(self, num_samples: int | None = None) -> None:
        """Raises what `flush` would raise; changes nothing."""
        self.line.check_open()
        hop, frames = self.codec.hop_length, self.line.fed
        if not frames:
            raise TokensError("no codes were pushed: there is nothing to decode")
        if num_samples is not None and -(-num_samples // hop) != frames:
            raise TokensError(
                f"{num_samples} samples with {hop} samples per frame make "
                f"{-(-num_samples // hop)} frames, but {frames} were pushed"
            )

    def end(self, num_samples: int | None = None) -> None:
        """Take no more codes, without computing; `flush` does both."""
        self.check_end(num_samples)
        self._length = num_samples
        self.line.end()

    def give(self, output: NDArray[Any]) -> NDArray[np.float32]:
        """[1, n] as the line gives it -> [S], what of it belongs to the sound."""
        left = None if self._length is None else max(self._length - self.num_samples, 0)
        samples: NDArray[np.float32] = output[0, :left]
        self.num_samples += len(samples)
        return samples

    def to_bytes(self) -> bytes:
        """The stream as it is now, for `Tokenizer.stream_decoder(resume=...)`.

        Raises VqaudioError after `flush`.
        """
        self.line.check_open()
        return snapshot(self.line, {**self._facts, "num_samples": self.num_samples})

    def restore(self, data: bytes) -> None:
        """Go on where `to_bytes` was called; raises VqaudioError for other bytes."""
        self.num_samples = int(restore(self.line, data, self._facts)["num_samples"])

    @property
    def _facts(self) -> dict[str, Any]:
        return {"kind": "decoder", "model": self.model, "num_codebooks": self.num_codebooks}
