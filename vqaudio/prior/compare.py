"""A prior beside what needs none: counts of codes, and the codes' own entropy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from vqaudio.entropy import Frequencies, count
from vqaudio.entropy.static import PRECISION, parts
from vqaudio.errors import TokensError
from vqaudio.metrics.intervals import Interval, bootstrap_ratio
from vqaudio.prior.model import Prior
from vqaudio.prior.score import PriorScore, score
from vqaudio.prior.sequences import TokenSet
from vqaudio.quantizers import CodebookUsage


@dataclass(frozen=True)
class Comparison:
    """Bit rates of the same sounds."""

    prior: PriorScore
    static: Interval | None
    """bit/s by a table of frequencies; None without a table."""
    saved: Interval | None
    """bit/s by the table less those by the prior, its interval over sounds of which each is coded
    both ways."""
    zeroth_order: float
    """bit/s of the entropy of these very codes, level by level. A table that knew them beforehand
    would need as much; few sounds make it too low."""

    def facts(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            **self.prior.facts(),
            "static_bitrate": None if self.static is None else self.static.mean,
            "saved_by_prior": None if self.saved is None else self.saved.mean,
            "zeroth_order_bitrate": self.zeroth_order,
        }

    def lines(self) -> list[str]:
        """For the terminal."""
        lines = self.prior.lines()
        lines.append(f"{self.zeroth_order:.0f} bit/s of zeroth-order entropy, of these codes alone")
        if self.static is None or self.saved is None:
            lines.append("no table of frequencies for this model: make one with vqaudio count")
        else:
            lines.append(f"{self.static.mean:.0f} bit/s by the table of frequencies")
            lines.append(f"{_of(self.saved)} bit/s saved against the table")
        return lines


def compare(prior: Prior, tokens: TokenSet, frequencies: Frequencies | None) -> Comparison:
    """What the codes of all sounds take by `prior`, and by `frequencies` of the same model.

    Raises TokensError for frequencies of another model.
    """
    if frequencies is not None and frequencies.model != tokens.model:
        raise TokensError(
            f"the table is of model {frequencies.model}, the tokens are of {tokens.model}: count "
            "them with vqaudio count"
        )
    found = score(prior, tokens)
    codes = [sequence.codes for sequence in tokens.sequences]
    seconds = [sequence.shape[1] / tokens.frame_rate for sequence in codes]
    totals = count(np.concatenate(codes, axis=1), tokens.codebook_sizes)
    usage = [CodebookUsage.from_counts(torch.from_numpy(level)) for level in totals]
    entropy = sum(level.entropy * level.num_tokens for level in usage)
    static = saved = None
    if frequencies is not None:
        # What the static coder needs, without the few bits at its end.
        surprise = [PRECISION - np.log2(parts(counts)) for counts in frequencies.counts]
        bits = [
            sum(float(level[row].sum()) for level, row in zip(surprise, sequence, strict=False))
            for sequence in codes
        ]
        static = bootstrap_ratio(bits, seconds)
        saved = bootstrap_ratio(
            [table - own for table, own in zip(bits, found.sound_bits, strict=True)], seconds
        )
    return Comparison(found, static, saved, entropy / sum(seconds))


def _of(interval: Interval) -> str:
    if math.isnan(interval.low):
        return f"{interval.mean:.0f}"
    return f"{interval.mean:.0f} ({interval.low:.0f} to {interval.high:.0f})"
