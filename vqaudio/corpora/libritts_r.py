"""LibriTTS-R, as openslr.org/141 unpacks it: LibriTTS cleaned by a restoration network, CC BY 4.0.

    root/LibriTTS_R/<split>/...     as LibriTTS has it: the same sentences by the same readers

Y. Koizumi et al.: "LibriTTS-R: A Restored Multi-Speaker Text-to-Speech Corpus", Interspeech 2023.
Noise and rooms are gone: a codec that learns from it alone has heard neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vqaudio.corpora.archives import OPENSLR, Archive, Source
from vqaudio.corpora.libritts import list_sentences
from vqaudio.corpora.utterance import About, Utterance

# Bytes, and the MD5 sum that openslr.org publishes.
_PUBLISHED = {
    "train-clean-100": (8_129_817_509, "6df668d8f5f33e70876bfa33862ad02b"),
    "train-clean-360": (28_953_983_271, "382eb3e64394b3da6a559f864339b22c"),
    "train-other-500": (46_843_185_428, "a37a8e9f4fe79d20601639bf23d1add8"),
    "dev-clean": (1_357_352_348, "2c1f5312914890634cc2d15783032ff3"),
    "dev-other": (975_450_334, "62d3a80ad8a282b6f31b3904f0507e4f"),
    "test-clean": (1_294_768_623, "4d373d453eb96c0691e598061bbafab7"),
    "test-other": (1_011_954_678, "dbc0959d8bdb6d52200595cabc9995ae"),
}
SOURCE = Source(
    "libritts-r",
    f"{OPENSLR}/141",
    {
        split: Archive(
            file=f"{split.replace('-', '_')}.tar.gz",
            num_bytes=num_bytes,
            checksum=f"md5:{md5}",
            folder=f"LibriTTS_R/{split}",
            sign="*/*/*.wav",
        )
        for split, (num_bytes, md5) in _PUBLISHED.items()
    },
    choose=True,
)
SPLITS: tuple[str, ...] = tuple(SOURCE.archives)
ABOUT = About(
    "LibriTTS-R, LibriTTS restored, 24 kHz",
    "CC BY 4.0",
    585,
    2456,
    SOURCE.num_bytes,
    readers="LibriVox",
    language="en",
)


def to_fetch(root: Path, splits: Sequence[str]) -> int:
    """Bytes that `download` would fetch. Raises CorpusError for an unknown split."""
    return SOURCE.to_fetch(root, splits)


def download(root: Path, splits: Sequence[str]) -> None:
    """Fetch the official archives of these splits and unpack them below `root`; see `Source`."""
    SOURCE.download(root, splits)


def utterances(root: Path, split: str) -> list[Utterance]:
    """The utterances of a split with their normalised texts, sorted by path.

    Raises CorpusError when the split is unknown or is not there, or a file cannot be read.
    """
    return list_sentences(SOURCE, root, split)
