"""What a recipe trains on and validates on."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from rich.filesize import decimal

from vqaudio.corpora import CORPORA, Utterance
from vqaudio.data import CorpusShare
from vqaudio.errors import CorpusError
from vqaudio.recipe import Recipe


class Speech(NamedTuple):
    """The utterances of a recipe; no speaker is in both, but that of a corpus that has only one."""

    shares: list[CorpusShare]
    """What to train on, one share per corpus."""
    validation: list[Utterance]

    @property
    def train(self) -> list[Utterance]:
        """Of all corpora."""
        return [utterance for share in self.shares for utterance in share.utterances]


def find_speech(recipe: Recipe) -> Speech:
    """The utterances of all corpora of a recipe, fetched first where they are missing.

    What there is to fetch, over all corpora, is said before the first byte.

    Raises CorpusError.
    """
    _announce(recipe)
    speech = Speech([], [])
    alone: set[str] = set()
    for wanted in recipe.data.corpora:
        corpus = CORPORA[wanted.name]
        root = Path(wanted.root)
        corpus.download(root, (*wanted.train, *wanted.validation))
        train: list[Utterance] = []
        for splits, utterances in (
            (wanted.train, train),
            (wanted.validation, speech.validation),
        ):
            for utterance in (u for split in splits for u in corpus.utterances(root, split)):
                # Two corpora may call different people by the same name, unless they share them.
                speaker = f"{corpus.ABOUT.readers or wanted.name} {utterance.speaker}"
                utterances.append(replace(utterance, speaker=speaker))
                if corpus.ABOUT.speakers == 1:
                    alone.add(speaker)
        speech.shares.append(CorpusShare(train, wanted.weight))
    shared = {u.speaker for u in speech.train} & {u.speaker for u in speech.validation}
    if shared - alone:
        raise CorpusError(
            f"{min(shared - alone)} is among both the training and the validation speakers: give "
            "data.corpora splits that share none."
        )
    return speech


def _announce(recipe: Recipe) -> None:
    """One line on standard error about what is to be fetched, if anything is."""
    sizes: dict[str, int] = {}
    for wanted in recipe.data.corpora:
        splits = (*wanted.train, *wanted.validation)
        num_bytes = CORPORA[wanted.name].to_fetch(Path(wanted.root), splits)
        if num_bytes:
            sizes[wanted.name] = sizes.get(wanted.name, 0) + num_bytes
    if sizes:
        parts = ", ".join(f"{name} {decimal(size)}" for name, size in sizes.items())
        print(f"to fetch: {decimal(sum(sizes.values()))} ({parts})", file=sys.stderr)
