"""Byte pair encoding of codes: what often stands side by side becomes one id.

"Acoustic BPE for Speech Generation with Discrete Tokens" (Shen et al. 2023, arXiv:2310.14580), for
several levels as codec-bpe has it: each code is one character, the frames follow each other, and
the library `tokenizers` learns which neighbours to merge. Nothing is lost: each id is spelled out
again.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vqaudio.errors import TokensError
from vqaudio.files import atomic
from vqaudio.huggingface.layout import FILE, read_facts, write_facts
from vqaudio.huggingface.reading import Stretch, read_flatten
from vqaudio.metrics.libraries import load_library
from vqaudio.patterns import Vocabulary

PLANES = ((0xF0000, 0xFFFFE), (0x100000, 0x10FFFE))
"""Characters for private use: no normalisation, surrogates or spaces among them. The two at the end
of each plane are none."""
MAX_CODES = sum(end - start for start, end in PLANES)

WORD = 512
"""Codes that training takes as one word: longer ones only make it slower. Encoding has no limit."""


class AudioBpe:
    """Codes [Q, T] to ids [L] and back. Ids below the number of codes stand for single codes."""

    def __init__(
        self, tokenizer: Any, codebook_sizes: Sequence[int], *, model: str | None = None
    ) -> None:
        """A `tokenizers.Tokenizer` from `train_bpe`; `model` is the fingerprint of the codes'."""
        self.tokenizer = tokenizer
        self.codebook_sizes = tuple(codebook_sizes)
        self.model = model
        names = [tokenizer.id_to_token(id) for id in range(self.vocab_size)]
        if None in names or sorted(names[: self.num_codes]) != _alphabet(self.num_codes):
            raise TokensError(
                f"the merges are not of codebooks of {' + '.join(map(str, self.codebook_sizes))} "
                "codes"
            )
        self._spelled = [_to_places(name) for name in names]

    def __repr__(self) -> str:
        sizes = "+".join(map(str, self.codebook_sizes))
        return f"AudioBpe({self.vocab_size} ids, codebooks {sizes}, model {self.model})"

    @property
    def vocab_size(self) -> int:
        """Ids are smaller than this."""
        return int(self.tokenizer.get_vocab_size())

    @property
    def num_codes(self) -> int:
        """Codes of all codebooks."""
        return sum(self.codebook_sizes)

    def encode(self, codes: ArrayLike) -> NDArray[np.int32]:
        """[Q, T] -> [L], L at most Q T. Raises TokensError for codes beyond the codebooks."""
        text = _to_text(codes, self.codebook_sizes)
        return np.array(self.tokenizer.encode(text).ids, np.int32)

    def decode(
        self, ids: ArrayLike, *, errors: Literal["raise", "skip"] = "raise"
    ) -> NDArray[np.uint16]:
        """[L] -> [Q, T], what `encode` was given.

        Raises TokensError for ids that make no whole frames, or leaves those out with `errors`
        "skip": a model that is cut stops in the middle of one.
        """
        given = np.asarray(ids)
        if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
            raise TokensError(f"ids are whole numbers [L], not {given.dtype} {list(given.shape)}")
        skip = errors == "skip"
        beyond = (given < 0) | (given >= self.vocab_size)
        if beyond.any() and not skip:
            raise TokensError(f"id {given[beyond][0]} came, there are {self.vocab_size}")
        spelled = [self._spelled[id] for id in given[~beyond].tolist()]
        places = np.concatenate([np.zeros(0, np.int64), *spelled])
        vocabulary = Vocabulary(self.codebook_sizes)
        flat = Stretch(places + vocabulary.offsets[0], 0, is_sound=True, is_open=False)
        return read_flatten(flat, vocabulary, skip=skip).codes

    def compression(self, sequences: Iterable[ArrayLike]) -> float:
        """Codes per id over `sequences` of codes [Q, T]: how much shorter they become, 1 or more.

        Of sequences that it was not trained on, if it is to say anything.
        """
        num_codes = num_ids = 0
        for codes in sequences:
            num_codes += np.asarray(codes).size
            num_ids += len(self.encode(codes))
        return num_codes / num_ids if num_ids else 1.0

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write `tokenizer.json`, which the library reads, and what the codes are of."""
        path = Path(folder)
        with atomic(path / "tokenizer.json") as temporary:
            temporary.write_text(self.tokenizer.to_str(), encoding="utf-8")
        write_facts(path, codebook_sizes=list(self.codebook_sizes), model=self.model)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> AudioBpe:
        """What `save` wrote. Raises TokensError when it is not there, damaged or something else."""
        tokenizers = load_library("tokenizers", "BPE", "tokenizers", extra="hf")
        path = Path(folder)
        facts = read_facts(path)
        try:
            tokenizer = tokenizers.Tokenizer.from_file(str(path / "tokenizer.json"))
            return cls(tokenizer, facts["codebook_sizes"], model=facts["model"])
        except TokensError:
            raise
        except Exception as error:  # the library has but one type for whatever is wrong
            raise TokensError(f"{path} holds no BPE of codes: {error}, see {FILE}") from None


def train_bpe(
    sequences: Iterable[ArrayLike],
    codebook_sizes: Sequence[int],
    vocab_size: int,
    *,
    model: str | None = None,
) -> AudioBpe:
    """The merges of what is most frequent in `sequences` of codes [Q, T], up to `vocab_size` ids.

    Fewer where no pair occurs twice. A million codes take 15 s. `model` is the fingerprint of the
    one that made the codes.

    Raises TokensError for codes beyond the codebooks, more than MAX_CODES, and a vocabulary that is
    smaller than they are; VqaudioError without tokenizers.
    """
    tokenizers = load_library("tokenizers", "BPE", "tokenizers", extra="hf")
    num_codes = sum(codebook_sizes)
    if num_codes > MAX_CODES:
        raise TokensError(
            f"{num_codes} codes are more than the {MAX_CODES} characters that there are for them: "
            "take fewer levels"
        )
    if vocab_size < num_codes:
        raise TokensError(
            f"a vocabulary of {vocab_size} is smaller than the {num_codes} codes alone: ask for "
            "more, or take fewer levels"
        )
    # Neither a normalizer nor a pre-tokenizer: a sequence is one word.
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.decoder = tokenizers.decoders.Fuse()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        initial_alphabet=_alphabet(num_codes),
        special_tokens=[],
        show_progress=False,
    )
    tokenizer.train_from_iterator(_words(sequences, codebook_sizes), trainer)
    return AudioBpe(tokenizer, codebook_sizes, model=model)


def _words(sequences: Iterable[ArrayLike], codebook_sizes: Sequence[int]) -> Iterator[str]:
    for codes in sequences:
        text = _to_text(codes, codebook_sizes)
        yield from (text[start : start + WORD] for start in range(0, len(text), WORD))


def _alphabet(num_codes: int) -> list[str]:
    """The characters of all codes, level after level, in the order of Unicode."""
    return [chr(point) for start, end in PLANES for point in range(start, end)][:num_codes]


def _to_text(codes: ArrayLike, codebook_sizes: Sequence[int]) -> str:
    """[Q, T] -> Q T characters, frame after frame. Raises TokensError for what does not fit."""
    given = np.asarray(codes)
    if given.ndim != 2 or len(given) != len(codebook_sizes) or given.dtype.kind not in "iu":
        raise TokensError(
            f"codes of shape {list(given.shape)} do not fit {len(codebook_sizes)} codebooks: they "
            "are whole numbers [Q, T]"
        )
    sizes = np.array(codebook_sizes)[:, None]
    if ((given < 0) | (given >= sizes)).any():
        raise TokensError(
            f"codes from {given.min()} to {given.max()} do not fit codebooks of "
            f"{' + '.join(map(str, codebook_sizes))}"
        )
    firsts = np.array([0, *accumulate(codebook_sizes)])[:-1, None]
    places = (given.astype(np.int64) + firsts).T.reshape(-1)
    (first, end), (second, _) = PLANES
    points = np.where(places < end - first, first + places, second + places - (end - first))
    return str(points.astype("<u4").tobytes(), "utf-32-le")


def _to_places(text: str) -> NDArray[np.int64]:
    """Characters -> for each which of all codes it is, level after level."""
    points = np.frombuffer(text.encode("utf-32-le"), "<u4").astype(np.int64)
    (first, end), (second, _) = PLANES
    return np.where(points < second, points - first, points - second + (end - first))
