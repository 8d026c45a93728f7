"""What is measured or exported: recordings by name, with speakers and, where known, texts."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vqaudio import audio
from vqaudio.corpora import folder, manifest
from vqaudio.corpora.lengths import LISTING, lengths
from vqaudio.corpora.rows import Faults
from vqaudio.corpora.utterance import Corpus, Utterance
from vqaudio.errors import CorpusError
from vqaudio.files import sha256_of


class Recording(NamedTuple):
    """One recording, by the name that it has in reports and exports."""

    name: str
    utterance: Utterance


def find_recordings(
    data: Path, *, limit: int | None = None, faults: dict[str, str] | None = None
) -> list[Recording]:
    """All recordings of a folder or a manifest, in an order that does not depend on the machine.

    Texts are those of the manifest, of LibriSpeech's *.trans.txt, or of a .txt file beside a
    recording. `limit` takes so many, spread evenly over the list. What cannot be read is left out
    of a folder; of a manifest too where `faults` are given, which are told the names and why.

    Raises CorpusError where there are none.
    """
    if not data.exists():
        raise CorpusError(f"{data} does not exist: name a folder of sound files, or a manifest.")
    is_folder = data.is_dir() and not (data / "wav.scp").exists()
    if is_folder:
        found = folder.utterances(data, "all")
        wrong = left_out(data) if faults is not None else {}
    else:
        rows: Faults | None = None if faults is None else []
        found = manifest.utterances(data, "all", faults=rows)
        wrong = {_name(row.path, row.start, data): reason for row, reason in rows or ()}
    if faults is not None:
        faults.update(wrong)
    recordings = _named(found, data)
    if limit is not None and limit < len(recordings):
        recordings = [recordings[n * len(recordings) // limit] for n in range(limit)]
    return _with_texts(recordings) if is_folder else recordings


def corpus_recordings(corpus: Corpus, root: Path, splits: Sequence[str]) -> list[Recording]:
    """As `find_recordings`, of splits of one of CORPORA that has been downloaded to `root`.

    Raises CorpusError for an unknown split, and when `root` does not hold it.
    """
    found = [utterance for split in splits for utterance in corpus.utterances(root, split)]
    language = corpus.ABOUT.language
    found = [replace(one, language=one.language or language) for one in found]
    return _with_texts(_named(found, root))


def read_recording(recording: Recording, sample_rate: int) -> NDArray[np.float32]:
    """[S] at `sample_rate` Hz. Raises AudioError when it cannot be read, or holds no sound."""
    utterance = recording.utterance
    if is_whole(utterance):
        whole: NDArray[np.float32] = audio.read(utterance.path, sample_rate=sample_rate).waveform[0]
        return whole
    start = round(utterance.start * sample_rate)
    num_samples = max(round(utterance.seconds * sample_rate), 1)
    part: NDArray[np.float32] = audio.read_part(
        utterance.path, start, num_samples, sample_rate=sample_rate
    ).waveform[0]
    return part


def is_whole(utterance: Utterance) -> bool:
    """Whether it is all that its file holds. Raises AudioError when that cannot be read."""
    available = audio.info(utterance.path).seconds
    return utterance.start == 0 and (available is None or utterance.seconds > available - 0.001)


def left_out(data: Path) -> dict[str, str]:
    """The files of a folder that are no sound, by name, and why; a manifest stands for its own."""
    if not data.is_dir() or (data / "wav.scp").exists():
        return {}
    faults = lengths(audio.find_audio(data), data / LISTING).faults
    return {path.relative_to(data).as_posix(): str(fault) for path, fault in faults.items()}


def hash_of(recordings: Sequence[Recording]) -> str:
    """SHA-256 over names, places and contents of all files, in hexadecimal.

    A file that cannot be read counts as such.
    """
    contents = {utterance.path: b"" for _, utterance in recordings}
    for path in contents:
        with suppress(OSError):
            contents[path] = bytes.fromhex(sha256_of(path))
    digest = hashlib.sha256()
    for name, utterance in recordings:
        digest.update(f"{name}\0{utterance.start!r}\0{utterance.seconds!r}\0".encode())
        digest.update(contents[utterance.path])
    return digest.hexdigest()


def _named(utterances: Sequence[Utterance], data: Path) -> list[Recording]:
    """By names that no two of them share."""
    seen: Counter[str] = Counter()
    recordings = []
    for utterance in utterances:
        name = _name(utterance.path, utterance.start, data)
        seen[name] += 1
        numbered = name if seen[name] == 1 else f"{name}#{seen[name]}"
        recordings.append(Recording(numbered, utterance))
    return recordings


def _name(path: Path, start: float, data: Path) -> str:
    base = data if data.is_dir() else data.parent
    name = path.relative_to(base).as_posix() if path.is_relative_to(base) else path.as_posix()
    return f"{name}@{round(start, 6)}" if start else name


def _with_texts(recordings: Sequence[Recording]) -> list[Recording]:
    texts: dict[Path, dict[str, str]] = {}
    found = []
    for name, utterance in recordings:
        parent = utterance.path.parent
        if parent not in texts:
            texts[parent] = transcripts(parent)
        text = texts[parent].get(utterance.path.stem)
        if text:
            utterance = replace(utterance, text=text)
        found.append(Recording(name, utterance))
    return found


def transcripts(parent: Path) -> dict[str, str]:
    """Stem of a sound file -> what is said in it, for the files of one folder."""
    found = {}
    for path in sorted(parent.glob("*.txt")):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        if path.name.endswith(".trans.txt"):
            pairs = (line.partition(" ") for line in lines)
            found.update({stem: text.strip() for stem, _, text in pairs if text.strip()})
        elif text := " ".join(" ".join(lines).split()):
            found[path.stem] = text
    return found
