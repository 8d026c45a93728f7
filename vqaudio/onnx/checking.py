"""The graphs in onnxruntime against the model in torch, on speech."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vqaudio import audio
from vqaudio.checkpoint import BUNDLED, find_model
from vqaudio.devices import find_device
from vqaudio.errors import ModelError
from vqaudio.onnx.runtime import OnnxTokenizer
from vqaudio.tokenizer import Tokenizer
from vqaudio.tokens import Tokens

MAX_CODES = 100
"""Of a million, that may differ: near ties, which rounding decides, and the levels below them. One
frame may always."""
MAX_SAMPLES = 1e-4
"""Largest difference between samples; full scale is 1."""

SAMPLES_AT_ONCE = (1, 160, 8000, 37, 1600)
FRAMES_AT_ONCE = (1, 25, 2)
"""What is pushed into the streams at once, in turns."""


class Check(NamedTuple):
    """What came out."""

    seconds: float
    """Of sound."""
    levels: int
    codes: int
    """Of all levels."""
    flipped: int
    """Codes of onnxruntime that are not those of torch."""
    stream_flipped: int
    """Codes of the stream that are not those of the whole, both in onnxruntime."""
    samples: float
    """Largest difference between samples of onnxruntime and of torch, from the same codes."""
    stream_samples: float
    """Largest difference between samples of the stream and of the whole, both in onnxruntime."""

    @property
    def flips_per_million(self) -> float:
        return 1e6 * self.flipped / self.codes

    @property
    def stream_flips_per_million(self) -> float:
        return 1e6 * self.stream_flipped / self.codes

    def lines(self) -> list[str]:
        return [
            f"{self.seconds:.1f} s of speech, {self.codes} codes",
            f"codes that differ from torch: {self.flips_per_million:.0f} per million",
            f"codes of a stream that differ from the whole: "
            f"{self.stream_flips_per_million:.0f} per million",
            f"largest difference between samples, to torch: {self.samples:.1e}",
            f"largest difference between samples, stream to whole: {self.stream_samples:.1e}",
        ]


def example_speech(sample_rate: int) -> NDArray[np.float32]:
    """[1, S]: 14 s of speech, decoded from tokens in the box."""
    tokenizer = Tokenizer(find_model(), device=find_device("cpu"))
    waveform = tokenizer.decode(Tokens.load(BUNDLED / "example.npz")).numpy()
    return audio.as_waveform(waveform, tokenizer.sample_rate, target_rate=sample_rate)


def recordings(folder: Path, sample_rate: int) -> Iterable[NDArray[np.float32]]:
    """[1, S] of each sound file below `folder`; raises AudioError where there are none."""
    paths = audio.find_audio(folder)
    return (audio.read(path, sample_rate=sample_rate).waveform for path in paths)


def check(
    tokenizer: Tokenizer, exported: OnnxTokenizer, waveforms: Iterable[NDArray[np.float32]]
) -> Check:
    """Compare `exported` with the `tokenizer` it was made of, on waveforms [1, S]."""
    checks = [_check_one(tokenizer, exported, waveform) for waveform in waveforms]
    seconds, levels, codes, flipped, stream_flipped, samples, stream_samples = zip(
        *checks, strict=True
    )
    return Check(
        sum(seconds),
        max(levels),
        sum(codes),
        sum(flipped),
        sum(stream_flipped),
        max(samples),
        max(stream_samples),
    )


def refuse(found: Check) -> None:
    """Raises ModelError for a check that shows more than rounding."""
    flips = max(found.flipped, found.stream_flipped)
    difference = max(found.samples, found.stream_samples)
    most = max(MAX_CODES * found.codes / 1e6, found.levels)
    if flips > most or not difference < MAX_SAMPLES:
        raise ModelError(
            f"the graphs do not compute what the model does: {flips} codes of {found.codes} "
            f"differ (at most {most:.0f}), samples by {difference:.1e} (less than "
            f"{MAX_SAMPLES:g}); try other versions of torch, onnxscript or onnxruntime"
        )


def _check_one(
    tokenizer: Tokenizer, exported: OnnxTokenizer, waveform: NDArray[np.float32]
) -> Check:
    expected, tokens = tokenizer.encode(waveform), exported.encode(waveform)
    stream_codes = _stream_codes(exported, waveform)
    sound, samples = tokenizer.decode(expected).numpy()[0], exported.decode(expected)[0]
    stream_samples = _stream_samples(exported, expected)
    return Check(
        seconds=expected.seconds,
        levels=expected.num_codebooks,
        codes=expected.codes.size,
        flipped=_differing(expected.codes, tokens.codes),
        stream_flipped=_differing(tokens.codes, stream_codes),
        samples=_difference(sound, samples),
        stream_samples=_difference(samples, stream_samples),
    )


def _stream_codes(exported: OnnxTokenizer, waveform: NDArray[np.float32]) -> NDArray[np.uint16]:
    stream = exported.stream_encoder()
    parts = [stream.push(block) for block in _blocks(waveform, SAMPLES_AT_ONCE)]
    return np.concatenate([*parts, stream.flush()], axis=1)


def _stream_samples(exported: OnnxTokenizer, tokens: Tokens) -> NDArray[np.float32]:
    stream = exported.stream_decoder()
    parts = [stream.push(block) for block in _blocks(tokens.codes, FRAMES_AT_ONCE)]
    return np.concatenate([*parts, stream.flush()])[: tokens.num_samples]


def _blocks(whole: NDArray[Any], sizes: Sequence[int]) -> Iterator[NDArray[Any]]:
    """[C, n] -> [C, sizes[0]], [C, sizes[1]]... and from the first size on again."""
    place = 0
    for size in cycle(sizes):
        if place >= whole.shape[1]:
            return
        yield whole[:, place : place + size]
        place += size


def _differing(a: NDArray[np.uint16], b: NDArray[np.uint16]) -> int:
    return int((a != b).sum()) if a.shape == b.shape else a.size


def _difference(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    if a.shape != b.shape or not np.isfinite(a - b).all():
        return np.inf
    return float(np.abs(a - b).max())
