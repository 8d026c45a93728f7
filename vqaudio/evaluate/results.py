"""What an evaluation found: plain values, as they are written to JSON and read back."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal

from pydantic import Field

from vqaudio.codec.config import Config
from vqaudio.metrics import Interval

FORMAT_VERSION = 1


class Figure(Config):
    """A metric's mean over files with its 95 % interval."""

    mean: float | None
    """None where no file has a value."""
    low: float | None
    high: float | None
    count: int
    """Files that have a value."""


class LevelUsage(Config):
    """How evenly one codebook is used."""

    num_tokens: int
    codebook_size: int
    used: float
    """Fraction of the codes that occur, 0 to 1."""
    perplexity: float
    entropy: float
    """Bit per token."""
    histogram: tuple[int, ...]
    """Tokens per code, most frequent first."""

    @property
    def efficiency(self) -> float:
        """Entropy over log2 K, 0 to 1."""
        return self.entropy / math.log2(self.codebook_size) if self.codebook_size > 1 else 1.0


def entropy_bits(usage: Iterable[LevelUsage]) -> float:
    """Bits that an ideal coder would need for all tokens, each level by itself."""
    return sum(level.num_tokens * level.entropy for level in usage)


class SystemResult(Config):
    """One row of the table: a codec at one bitrate."""

    name: str
    label: str
    family: str
    status: Literal["ok", "suspicious", "skipped"]
    reason: str = ""
    """Why it is not ok, one sentence."""
    bitrate: float | None = None
    """bit/s, from bits sent over seconds of all files."""
    entropy_bitrate: float | None = None
    """bit/s that an ideal coder would need for the codes, each level by itself."""
    delay: int = 0
    """Samples at the rate of the evaluation, taken out before measuring."""
    encode_speed: float | None = None
    """Seconds of sound per second of computing."""
    decode_speed: float | None = None
    metrics: dict[str, Figure] = Field(default_factory=dict)
    usage: tuple[LevelUsage, ...] = ()
    """Of a system with codes, coarse to fine."""
    about: dict[str, str] = Field(default_factory=dict)


class MetricResult(Config):
    """What a reader must know of a metric."""

    name: str
    label: str
    unit: str
    """Empty for none."""
    direction: Literal["higher", "lower"]
    """Which is better."""
    range: str
    source: str
    status: Literal["ok", "skipped"]
    reason: str = ""


class FileResult(Config):
    """One file and system: a line of the CSV file."""

    file: str
    """Relative to the data."""
    speaker: str
    seconds: float
    system: str
    num_bits: int
    encode_seconds: float
    decode_seconds: float
    scores: dict[str, float | None]
    """By metric; None for no value."""
    words: int = 0
    """Words of the reference text, by which word error rates are weighted."""
    fault: str = ""
    """Why the system could not carry it; there are no scores then."""


class Evaluation(Config):
    """A whole evaluation."""

    format_version: int = FORMAT_VERSION
    command: str
    date: str
    """ISO 8601, UTC."""
    versions: dict[str, str]
    """Of vqaudio, Python and the libraries and programs that were used."""
    machine: str
    data: str
    """Folder or manifest."""
    data_hash: str
    """SHA-256 over the names, places and contents of all files."""
    num_files: int
    unreadable: dict[str, str] = Field(default_factory=dict)
    """Files left out, and why."""
    num_speakers: int
    seconds: float
    sample_rate: int
    """Hz: every file is brought to it before anything else."""
    resampling: str
    model: dict[str, Any]
    """Name, fingerprint and facts of the model that is evaluated."""
    metrics: tuple[MetricResult, ...]
    systems: tuple[SystemResult, ...]
    files: tuple[FileResult, ...]


def to_figure(interval: Interval, count: int) -> Figure:
    """Without the values that JSON does not know."""
    finite = [value if abs(value) < float("inf") else None for value in interval]
    return Figure(mean=finite[0], low=finite[1], high=finite[2], count=count)
