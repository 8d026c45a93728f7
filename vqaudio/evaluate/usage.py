"""`usage`: the health of a model's codebooks over a whole corpus, file by file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vqaudio.corpora.recordings import (
    Recording,
    find_recordings,
    is_whole,
    left_out,
    read_recording,
)
from vqaudio.entropy import count
from vqaudio.errors import AudioError
from vqaudio.evaluate.results import LevelUsage, entropy_bits
from vqaudio.evaluate.summary import Totals
from vqaudio.tokenizer import Tokenizer, load
from vqaudio.tokens import Tokens


@dataclass(frozen=True)
class CorpusUsage:
    """What a model's codes are over a corpus."""

    model: str
    fingerprint: str
    data: str
    num_files: int
    seconds: float
    bitrate: float
    """bit/s of the codes as they are stored."""
    levels: tuple[LevelUsage, ...]
    """Coarse to fine."""
    counts: tuple[NDArray[np.int64], ...]
    """[K] of each level: how often each code occurred."""
    unreadable: dict[str, str]
    """Files left out, and why."""

    @property
    def entropy_bitrate(self) -> float:
        """bit/s that an ideal coder would need, each level by itself."""
        return entropy_bits(self.levels) / self.seconds

    def facts(self) -> dict[str, Any]:
        """Plain values, for JSON; without the histograms."""
        return {
            "model": self.model,
            "fingerprint": self.fingerprint,
            "data": self.data,
            "files": self.num_files,
            "seconds": round(self.seconds, 3),
            "bitrate": self.bitrate,
            "entropy_bitrate": self.entropy_bitrate,
            "levels": [level.model_dump(exclude={"histogram"}) for level in self.levels],
            "unreadable": self.unreadable,
        }


Progress = Callable[[Iterable[Any], int], Iterable[Any]]


def measure_usage(
    model: str, data: Path, *, device: str = "auto", progress: Progress = lambda tokens, _: tokens
) -> CorpusUsage:
    """Tokenize every recording of a folder or manifest, and count; memory does not grow.

    A recording that cannot be read is left out and named.

    Raises ModelError, CorpusError; AudioError when no recording can be read.
    """
    tokenizer = load(model, device=device)
    sizes = tokenizer.codec.codebook_sizes
    recordings = find_recordings(data)
    totals = Totals()
    unreadable = left_out(data)
    heard, num_files = 0.0, 0

    def encoded() -> Iterator[None]:
        nonlocal heard, num_files
        for recording in recordings:
            try:
                tokens = _tokens(tokenizer, recording)
            except AudioError as error:
                unreadable[recording.name] = str(error)
            else:
                heard += tokens.seconds
                num_files += 1
                totals.add({model: count(tokens.codes, sizes)})
            yield

    for _ in progress(encoded(), len(recordings)):
        pass
    if not heard:
        raise AudioError(f"no file of {data} can be read: {next(iter(unreadable.values()))}")
    return CorpusUsage(
        model=model,
        fingerprint=tokenizer.fingerprint,
        data=str(data),
        num_files=num_files,
        seconds=heard,
        bitrate=tokenizer.codec.bitrate(),
        levels=totals.usage(model),
        counts=tuple(totals.counts[model]),
        unreadable=unreadable,
    )


def _tokens(tokenizer: Tokenizer, recording: Recording) -> Tokens:
    if is_whole(recording.utterance):  # which may be long
        return tokenizer.encode_file(recording.utterance.path)
    return tokenizer.encode(read_recording(recording, tokenizer.sample_rate))


def usage_lines(found: CorpusUsage) -> list[str]:
    """For the terminal: a level a line, after what was measured."""
    lines = [
        f"{found.model} ({found.fingerprint}) on {found.num_files} files, "
        f"{found.seconds / 3600:.2f} hours of {found.data}",
        f"{found.bitrate:.0f} bit/s as stored, {found.entropy_bitrate:.0f} bit/s of entropy",
    ]
    for place, level in enumerate(found.levels, start=1):
        lines.append(
            f"level {place}: {100 * level.used:.1f} % of {level.codebook_size} codes used by "
            f"{level.num_tokens} tokens, perplexity {level.perplexity:.0f}, entropy "
            f"{level.entropy:.2f} bit ({100 * level.efficiency:.0f} %)"
        )
    return lines
