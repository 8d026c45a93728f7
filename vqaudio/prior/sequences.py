"""Tokens to learn from: the rows of an export, or a folder of token files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vqaudio.corpora.splitting import held_out
from vqaudio.errors import TokensError
from vqaudio.export import is_export, is_shard, read_export
from vqaudio.tokens import Tokens, find_token_files


class Sequence(NamedTuple):
    """The codes of one sound."""

    name: str
    codes: NDArray[np.uint16]
    """[Q, T]."""
    speaker: str
    """The sound's name where nobody knows."""
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

    def split(self) -> tuple[TokenSet, TokenSet]:
        """Speakers to learn from, and about one in twenty held out, by name as in any corpus."""
        speakers = held_out(one.speaker for one in self.sequences)
        train = [one for one in self.sequences if one.speaker not in speakers]
        validation = [one for one in self.sequences if one.speaker in speakers]
        return self._replace(sequences=train), self._replace(sequences=validation)


def read_token_set(path: Path, levels: int | None = None) -> TokenSet:
    """All tokens of an export, of one of its shards, or of the token files below a folder.

    `levels` takes the first so many codebooks.

    Raises TokensError where there are none, where they are of several models, and where they have
    fewer levels.
    """
    sequences = []
    facts: tuple[str, int, int, tuple[int, ...]] | None = None
    for name, tokens, speaker, text in _rows(path):
        if levels is not None:
            tokens = tokens.first(levels)
        own = (tokens.model, tokens.sample_rate, tokens.hop_length, tokens.codebook_sizes)
        if facts is None:
            facts = own
        elif own != facts:
            raise TokensError(
                f"{path} holds tokens of several kinds: {name} is of model {tokens.model} with "
                f"{tokens.num_codebooks} levels, others of model {facts[0]} with {len(facts[3])}"
            )
        sequences.append(Sequence(name, tokens.codes, speaker or name, text))
    if facts is None:
        raise TokensError(f"{path} holds no tokens: name an export, or a folder of token files")
    return TokenSet(sequences, *facts)


def _rows(path: Path) -> Iterator[tuple[str, Tokens, str | None, str | None]]:
    """Name, tokens, speaker, text."""
    if is_export(path) or (path.is_file() and is_shard(path)):
        for row in read_export(path):
            yield row.id, row.tokens, row.speaker, row.text
        return
    if not path.is_dir():
        yield path.name, Tokens.load(path), None, None
        return
    for file in find_token_files(path):
        inner = file.relative_to(path)
        # As in a folder of recordings: the first sub-folder names the speaker.
        speaker = inner.parts[0] if len(inner.parts) > 1 else None
        yield inner.as_posix(), Tokens.load(file), speaker, None
