"""What is exported: the recordings of a folder, a manifest or a corpus, here or in a store."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from vqaudio.corpora import CORPORA
from vqaudio.corpora.recordings import Recording, corpus_recordings, find_recordings
from vqaudio.errors import CorpusError
from vqaudio.export.remote_listing import (
    is_manifest,
    names_addresses,
    of_manifest,
    of_remote_folder,
)
from vqaudio.export.sound import Listing, Sound, Unreadable, distinct, plain
from vqaudio.export.storage import is_remote


def find_sounds(data: str, *, corpus: str | None = None, splits: Sequence[str] = ()) -> Listing:
    """The recordings of DATA: a folder or manifest, or the root of one of CORPORA.

    Raises CorpusError where there are none, or they cannot be listed.
    """
    if corpus is None and splits:
        raise CorpusError("splits belong to a corpus: name it with --corpus, or drop --split")
    if is_remote(data):
        if corpus is not None:
            raise CorpusError(f"{data}: a corpus is read from this machine: copy it here")
        return of_manifest(data) if is_manifest(data) else of_remote_folder(data)
    root = Path(data.removeprefix("file://"))
    if corpus is not None:
        return _of_corpus(corpus, root, splits)
    if root.is_file() and names_addresses(root):
        return of_manifest(os.fspath(root))
    faults: dict[str, str] = {}
    return _listing(find_recordings(root, faults=faults), root, faults)


def _of_corpus(name: str, root: Path, splits: Sequence[str]) -> Listing:
    if name not in CORPORA:
        raise CorpusError(f"no corpus {name!r}: choose from {', '.join(CORPORA)}")
    corpus = CORPORA[name]
    recordings = corpus_recordings(corpus, root, splits or corpus.SPLITS)
    if not recordings:
        raise CorpusError(f"{root} holds nothing of {name}: fetch it with vqaudio download")
    return _listing(recordings, root, {})


def _listing(recordings: Sequence[Recording], root: Path, faults: dict[str, str]) -> Listing:
    base = root if root.is_dir() else root.parent
    inside = "" if base == Path() else f"{os.fspath(base).rstrip('/')}/"
    sounds = []
    ids = distinct(plain(name) for name, _ in recordings)  # they may have become equal
    for id, (_, one) in zip(ids, recordings, strict=True):
        location = os.fspath(one.path)
        # Who speaks in it nobody knows: the full path stands for a speaker of its own.
        nobody = one.speaker == os.path.abspath(location)
        sounds.append(
            Sound(
                id=id,
                location=location,
                path=plain(location.removeprefix(inside)),
                seconds=one.seconds,
                start=one.start,
                speaker=None if nobody else plain(one.speaker),
                text=None if one.text is None else plain(one.text),
                language=None if one.language is None else plain(one.language),
            )
        )
    unreadable = (
        Unreadable(plain(name), plain(name), plain(reason.replace(os.fspath(base / name), name)))
        for name, reason in sorted(faults.items())
    )
    return Listing(tuple(sounds), tuple(unreadable))
