"""speechocean762, as openslr.org/101 unpacks it: 250 Mandarin speakers read English, 16 kHz.

    root/speechocean762/WAVE/SPEAKER<speaker>/<utterance>.WAV
    root/speechocean762/<split>/                    wav.scp, text, utt2spk as Kaldi has them

Half of the speakers are children. CC BY 4.0. J. Zhang et al.: "speechocean762: An Open-Source
Non-native English Speech Corpus For Pronunciation Assessment", Interspeech 2021.

train and test are the official splits, 125 speakers each, and share none. openslr.org publishes
no checksum.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vqaudio.corpora.archives import OPENSLR, Archive, Source
from vqaudio.corpora.kaldi import read_kaldi
from vqaudio.corpora.lengths import LISTING
from vqaudio.corpora.rows import to_utterances
from vqaudio.corpora.utterance import About, Utterance

ARCHIVE = Archive(
    file="101/speechocean762.tar.gz",
    num_bytes=545_000_000,  # 520M, as the page rounds it
    checksum=None,
    folder="speechocean762",
    sign="WAVE/*/*.WAV",
)
SOURCE = Source("speechocean762", OPENSLR, {"train": ARCHIVE, "test": ARCHIVE})
SPLITS: tuple[str, ...] = tuple(SOURCE.archives)
ABOUT = About(
    "speechocean762, English by Mandarin speakers, half of them children, 16 kHz",
    *("CC BY 4.0", 5.6, 250, SOURCE.num_bytes),
    language="en",
)


def to_fetch(root: Path, splits: Sequence[str]) -> int:
    """Bytes that `download` would fetch. Raises CorpusError for an unknown split."""
    return SOURCE.to_fetch(root, splits)


def download(root: Path, splits: Sequence[str]) -> None:
    """Fetch the archive, which has both splits, and unpack it below `root`; see `Source`."""
    SOURCE.download(root, splits)


def utterances(root: Path, split: str) -> list[Utterance]:
    """The utterances of a split with their texts, in the order of its wav.scp.

    Raises CorpusError when the split is unknown or is not there, and when a file cannot be read.
    """
    folder = SOURCE.folder(root, split)
    rows = read_kaldi(folder / split, base=folder)
    return to_utterances(rows, folder / split / LISTING, remedy="unpack the archive anew")
