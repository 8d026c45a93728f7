"""A part of a file, as reading the whole would give it, without reading the whole."""

from __future__ import annotations

from math import gcd

import numpy as np

from vqaudio.audio.decoding import Source, open_audio
from vqaudio.audio.reading import Audio, check_samples, downmix, no_samples
from vqaudio.audio.resampling import check_sample_rate, resample
from vqaudio.errors import AudioError

MARGIN = 128
"""Samples of the lower of two rates that the resampler looks back and ahead: with 100 a part
differs from the whole by the rounding of float32, with 64 by 2e-4 of white noise (measured)."""


def read_part(
    source: Source, start: int, num_samples: int, *, sample_rate: int | None = None
) -> Audio:
    """Samples `start` to `start` + `num_samples` of what `read` gives, fewer where the file ends.

    Both count at `sample_rate` Hz (None: the file's own). Read by seeking, so the length of the
    file does not matter; only what cannot be sought in exactly (webm, G.722) is decoded from the
    beginning, up to the part. Samples are those of the whole file to 1e-3: bit for bit in formats
    without loss at their own rate. The noise that AAC makes up is another at each reading.

    Raises:
        AudioError: as `read`, about the part; the file ends before it.
    """
    if start < 0 or num_samples < 1:
        raise AudioError(
            f"a part of {num_samples} samples from sample {start} on is none; "
            "start at 0 or later and ask for at least one sample"
        )
    with open_audio(source) as decoder:
        name = decoder.name
        source_rate = check_sample_rate(decoder.info.sample_rate, f"the sample rate of {name}")
        rate = source_rate if sample_rate is None else sample_rate
        rate = check_sample_rate(rate, "the sample rate asked for")
        first, last, skip = _source_part(start, num_samples, source_rate, rate)
        blocks = []
        position = first
        for block in decoder.blocks(first, last):
            check_samples(block, name, position, source_rate)
            position += len(block)
            blocks.append(downmix(block))
    if position == 0:
        raise no_samples(name)
    part = np.concatenate(blocks)[None] if blocks else np.zeros((1, 0), np.float32)
    part = resample(part, source_rate, rate)[:, skip : skip + num_samples]
    if part.size == 0:
        raise AudioError(
            f"{name} ends before {start / rate:.2f} s, where a part of it was to begin; "
            "list its length anew"
        )
    return Audio(part, rate)


def _source_part(start: int, num_samples: int, source_rate: int, rate: int) -> tuple[int, int, int]:
    """What to read for a part at `rate`: samples first and last (exclusive) of the source, and how
    many to skip after resampling."""
    if source_rate == rate:
        return start, start + num_samples, 0
    margin = -(-MARGIN * max(source_rate, rate) // rate)
    # Resampled sounds that start at a common sample of both rates have their samples at the same
    # times: every source_step of the one, and step of the other.
    source_step, step = source_rate // gcd(source_rate, rate), rate // gcd(source_rate, rate)
    common = max(start * source_rate // rate - margin, 0) // source_step
    last = -(-(start + num_samples) * source_rate // rate) + margin
    return common * source_step, last, start - common * step
