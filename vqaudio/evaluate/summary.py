"""From what was measured of every file to one row a system."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from vqaudio.evaluate.measuring import WORD_ERROR_RATE
from vqaudio.evaluate.results import (
    Figure,
    FileResult,
    LevelUsage,
    SystemResult,
    entropy_bits,
    to_figure,
)
from vqaudio.metrics import bootstrap_interval, bootstrap_ratio
from vqaudio.quantizers import CodebookUsage
from vqaudio.systems import System


class Totals:
    """How often each code occurred, over recordings that come one by one and are not kept."""

    def __init__(self) -> None:
        self.counts: dict[str, list[NDArray[np.int64]]] = {}
        """For each system with codes: [K] of each level."""

    def add(self, counts: Mapping[str, Sequence[NDArray[np.int64]]]) -> None:
        for system, levels in counts.items():
            totals = self.counts.setdefault(system, [np.zeros_like(level) for level in levels])
            for total, level in zip(totals, levels, strict=True):
                total += level

    def usage(self, system: str) -> tuple[LevelUsage, ...]:
        """Of each level, coarse to fine; empty without codes."""
        return tuple(usage_of(level) for level in self.counts.get(system, ()))


def summarise(
    system: System, files: Sequence[FileResult], usage: tuple[LevelUsage, ...], *, suspicion: str
) -> SystemResult:
    """The row of `system` in the table; `suspicion` is why it may not be trusted, or empty."""
    own = [row for row in files if row.system == system.name]
    rows = [row for row in own if not row.fault]
    if len(rows) < len(own) and not suspicion:
        first = next(row.fault for row in own if row.fault)
        suspicion = f"failed on {len(own) - len(rows)} of {len(own)} files: {first}"
    seconds = sum(row.seconds for row in rows)
    encoding = sum(row.encode_seconds for row in rows)
    decoding = sum(row.decode_seconds for row in rows)
    return SystemResult(
        name=system.name,
        label=system.label,
        family=system.family,
        status="suspicious" if suspicion else "ok",
        reason=suspicion,
        bitrate=sum(row.num_bits for row in rows) / seconds if rows else None,
        entropy_bitrate=entropy_bits(usage) / seconds if usage else None,
        delay=system.delay,
        encode_speed=seconds / encoding if encoding else None,
        decode_speed=seconds / decoding if decoding else None,
        metrics={name: figure_of(name, rows) for name in _metric_names(rows)},
        usage=usage,
        about=system.about,
    )


def figure_of(metric: str, rows: Sequence[FileResult]) -> Figure:
    """The mean over files and its interval; of the word error rate, errors over words of all."""
    scores: list[float] = []
    words: list[int] = []
    for row in rows:
        score = row.scores.get(metric)
        if score is not None:
            scores.append(score)
            words.append(row.words)
    if metric == WORD_ERROR_RATE:
        errors = [score * count for score, count in zip(scores, words, strict=True)]
        return to_figure(bootstrap_ratio(errors, words), len(scores))
    return to_figure(bootstrap_interval(scores), len(scores))


def usage_of(counts: NDArray[np.int64]) -> LevelUsage:
    """counts [K]: how often each code of one level occurred."""
    usage = CodebookUsage.from_counts(torch.from_numpy(counts))
    return LevelUsage(
        num_tokens=usage.num_tokens,
        codebook_size=len(counts),
        used=usage.used,
        perplexity=usage.perplexity,
        entropy=usage.entropy,
        histogram=tuple(int(count) for count in np.sort(counts)[::-1]),
    )


def _metric_names(rows: Sequence[FileResult]) -> list[str]:
    """Of all rows, in the order of their first appearance: not every file has a text."""
    return list(dict.fromkeys(name for row in rows for name in row.scores))
