"""Tokens to learn from: the rows of an export, or a folder of token files."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vqaudio.corpora.splitting import held_out
from vqaudio.export import read_rows


class Sequence(NamedTuple):
    """The codes of one sound."""

    name: str
    codes: NDArray[np.uint16]
    """[Q, T]."""
    speaker: str | None
    """None where nobody knows."""
    text: str | None


class TokenSet(NamedTuple):
    """Sounds of one model, in memory: two bytes a code, 3 MB an hour at 400 codes/s."""

    sequences: list[Sequence]
    model: str
    """Fingerprint of the model that made the tokens."""
    sample_rate: int
    hop_length: int
    codebook_sizes: tuple[int, ...]
    """Of the levels that were read."""

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop_length

    @property
    def seconds(self) -> float:
        num_frames: int = sum(one.codes.shape[1] for one in self.sequences)
        return num_frames / self.frame_rate

    @property
    def speakers(self) -> list[str]:
        """Those that are known, sorted."""
        return sorted({one.speaker for one in self.sequences if one.speaker})

    def split(self) -> tuple[TokenSet, TokenSet]:
        """Speakers to learn from, and about one in twenty held out, by name as in any corpus.

        A sound whose speaker nobody knows counts as a speaker of its own.
        """
        speakers = held_out(one.speaker or one.name for one in self.sequences)
        train = [one for one in self.sequences if (one.speaker or one.name) not in speakers]
        validation = [one for one in self.sequences if (one.speaker or one.name) in speakers]
        return self._replace(sequences=train), self._replace(sequences=validation)


def read_token_set(path: Path, levels: int | None = None) -> TokenSet:
    """All tokens of an export, of one of its shards, or of the token files below a folder.

    `levels` takes the first so many codebooks.

    Raises TokensError as `read_rows`.
    """
    rows = read_rows(path, levels=levels)
    first = next(rows)
    like = first.tokens
    sequences = [
        Sequence(row.id, row.tokens.codes, row.speaker, row.text) for row in chain([first], rows)
    ]
    return TokenSet(sequences, like.model, like.sample_rate, like.hop_length, like.codebook_sizes)
