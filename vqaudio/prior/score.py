"""How many bits held-out speech takes: by a prior, by counts of codes, and as it is stored."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from vqaudio.errors import TokensError
from vqaudio.metrics.intervals import Interval, bootstrap_ratio
from vqaudio.prior.files import PriorFile
from vqaudio.prior.model import Prior
from vqaudio.prior.sequences import TokenSet
from vqaudio.prior.windows import stack, windows_of

BATCH_SIZE = 16


@dataclass(frozen=True)
class PriorScore:
    """What a prior makes of sounds."""

    num_sounds: int
    seconds: float
    nominal_bitrate: float
    """bit/s, codes stored plainly."""
    bitrate: Interval
    """bit/s that the prior needs, with its interval over sounds."""
    sound_bits: tuple[float, ...]
    """Of each sound."""
    level_bits: tuple[float, ...]
    """Bits a code, coarse to fine."""
    codebook_sizes: tuple[int, ...]
    stop_bits: float
    """Bits a sound, to say that it goes on or is over; not part of the bit rate."""

    @property
    def perplexities(self) -> tuple[float, ...]:
        """Coarse to fine: among how many equally likely codes the prior would be as unsure."""
        return tuple(2**bits for bits in self.level_bits)

    def facts(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "sounds": self.num_sounds,
            "seconds": round(self.seconds, 3),
            "nominal_bitrate": self.nominal_bitrate,
            "bitrate": self.bitrate.mean,
            "low": None if math.isnan(self.bitrate.low) else self.bitrate.low,
            "high": None if math.isnan(self.bitrate.high) else self.bitrate.high,
            "bits_per_code": list(self.level_bits),
            "perplexity": list(self.perplexities),
            "stop_bits": self.stop_bits,
        }

    def lines(self) -> list[str]:
        """For the terminal."""
        share = 100 * self.bitrate.mean / self.nominal_bitrate
        limits = (
            ""
            if math.isnan(self.bitrate.low)
            else (f" (95 % interval over sounds {self.bitrate.low:.0f} to {self.bitrate.high:.0f})")
        )
        return [
            f"{self.num_sounds} sounds, {self.seconds / 60:.1f} minutes",
            f"{self.bitrate.mean:.0f} bit/s{limits}, {share:.1f} % of the "
            f"{self.nominal_bitrate:.0f} bit/s of plain codes",
            *(
                f"level {place}: {bits:.2f} of {math.log2(size):.2f} bits a code, perplexity "
                f"{2**bits:.0f} of {size}"
                for place, (bits, size) in enumerate(
                    zip(self.level_bits, self.codebook_sizes, strict=True), start=1
                )
            ),
        ]


def check_tokens(file: PriorFile, tokens: TokenSet) -> None:
    """Raises TokensError when the prior knows the tokens of another model."""
    if tokens.model != file.model:
        raise TokensError(
            f"the tokens were made by model {tokens.model}, the prior knows those of model "
            f"{file.model}: train one on these"
        )
    if tokens.codebook_sizes != file.prior.codebook_sizes:
        raise TokensError(
            f"the tokens have codebooks of {tokens.codebook_sizes}, the prior knows "
            f"{file.prior.codebook_sizes}: tokenize the sounds again"
        )


@torch.inference_mode()
def score(prior: Prior, tokens: TokenSet) -> PriorScore:
    """Bits that `prior` needs for the codes of all sounds, which are cut into its windows."""
    windows = [
        (place, window)
        for place, sequence in enumerate(tokens.sequences)
        for window in windows_of(prior, sequence)
    ]
    # Windows of like length share a batch, so that little of it is padding.
    windows.sort(key=lambda item: item[1].codes.shape[1])
    bits = torch.zeros(len(tokens.sequences), len(tokens.codebook_sizes), dtype=torch.float64)
    stop_bits = 0.0
    for start in range(0, len(windows), BATCH_SIZE):
        batch = windows[start : start + BATCH_SIZE]
        scores = prior.score(*stack(prior, [window for _, window in batch]))
        places = torch.tensor([place for place, _ in batch])
        bits.index_add_(0, places, scores.bits.double().cpu())
        stop_bits += float(scores.stop_bits.sum())
    frames = [sequence.codes.shape[1] for sequence in tokens.sequences]
    seconds = [count / tokens.frame_rate for count in frames]
    sound_bits = bits.sum(1).tolist()
    per_code = bits.sum(0) / sum(frames)
    return PriorScore(
        num_sounds=len(frames),
        seconds=sum(seconds),
        nominal_bitrate=tokens.frame_rate * sum(map(math.log2, tokens.codebook_sizes)),
        bitrate=bootstrap_ratio(sound_bits, seconds),
        sound_bits=tuple(sound_bits),
        level_bits=tuple(per_code.tolist()),
        codebook_sizes=tokens.codebook_sizes,
        stop_bits=stop_bits / len(frames),
    )
