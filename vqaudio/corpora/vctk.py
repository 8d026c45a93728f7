"""VCTK 0.92: 44 hours, 110 English speakers of many accents, 48 kHz, CC BY 4.0.

    root/VCTK-Corpus-0.92/wav48_silence_trimmed/<speaker>/<speaker>_<number>_mic<1 or 2>.flac
    root/VCTK-Corpus-0.92/txt/<speaker>/<speaker>_<number>.txt

J. Yamagishi, C. Veaux, K. MacDonald: "CSTR VCTK Corpus" (0.92), University of Edinburgh 2019. It
has no official split; see VALIDATION_SPEAKERS and TEST_SPEAKERS. All speakers read some of the
same texts. Every sentence was recorded by two microphones: the second one is taken, which picks up
less low-frequency noise, and the first where the second failed (p280 and p315, who has no texts
either).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vqaudio.corpora.archives import Archive, Source
from vqaudio.corpora.lengths import LISTING
from vqaudio.corpora.rows import Row, to_utterances
from vqaudio.corpora.utterance import About, Utterance

ARCHIVE = Archive(
    file="VCTK-Corpus-0.92.zip",
    num_bytes=11_747_302_977,
    checksum="md5:8a6ba2946b36fcbef0212cad601f4bfa",
    folder="VCTK-Corpus-0.92",
    sign="wav48_silence_trimmed/*/*.flac",
    into="VCTK-Corpus-0.92",
    # Of Edinburgh DataShare, doi.org/10.7488/ds/2645. The address that ends in the name of the
    # file answers with a page of text.
    url="https://datashare.ed.ac.uk/server/api/core/bitstreams/"
    "535f4286-e54c-4038-838c-a02285e32cb2/content",
)
SOURCE = Source(
    "vctk",
    "https://datashare.ed.ac.uk/bitstream/handle/10283/3443",
    dict.fromkeys(("train", "validation", "test"), ARCHIVE),
)
SPLITS: tuple[str, ...] = tuple(SOURCE.archives)
ABOUT = About(
    "VCTK 0.92, English in many accents, 48 kHz",
    "CC BY 4.0",
    44,
    110,
    SOURCE.num_bytes,
    language="en",
)

# The two whom VoiceBank+DEMAND, made of this corpus, tests on: what was trained on the train
# split may be measured there.
TEST_SPEAKERS = frozenset({"p232", "p257"})
# Spread over the accents, half women.
VALIDATION_SPEAKERS = frozenset(
    {"p226", "p229", "p237", "p245", "p248", "p265", "p270", "p288", "p302", "p308"}
)


def to_fetch(root: Path, splits: Sequence[str]) -> int:
    """Bytes that `download` would fetch. Raises CorpusError for an unknown split."""
    return SOURCE.to_fetch(root, splits)


def download(root: Path, splits: Sequence[str]) -> None:
    """Fetch the archive, which has all splits, and unpack it below `root`; see `Source`."""
    SOURCE.download(root, splits)


def utterances(root: Path, split: str) -> list[Utterance]:
    """The utterances of a split with their texts, sorted by speaker and number as text.

    Raises CorpusError when the split is unknown or is not there, or a file cannot be read.
    """
    folder = SOURCE.folder(root, split)
    recordings: dict[str, Path] = {}
    for path in sorted((folder / "wav48_silence_trimmed").glob("*/*_mic[12].flac")):
        recordings[path.stem.rpartition("_")[0]] = path  # mic2 comes after mic1
    rows = [
        Row(name, path, speaker=path.parent.name, text=_text(folder, path.parent.name, name))
        for name, path in sorted(recordings.items())
    ]
    found = to_utterances(rows, folder / LISTING, remedy="unpack the archive anew")
    return [utterance for utterance in found if _split_of(utterance.speaker) == split]


def _split_of(speaker: str) -> str:
    if speaker in TEST_SPEAKERS:
        return "test"
    return "validation" if speaker in VALIDATION_SPEAKERS else "train"


def _text(folder: Path, speaker: str, name: str) -> str | None:
    try:
        path = folder / "txt" / speaker / f"{name}.txt"
        return path.read_text(encoding="utf-8", errors="replace").strip() or None
    except FileNotFoundError:
        return None
