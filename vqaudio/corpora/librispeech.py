"""LibriSpeech, as openslr.org/12 unpacks it: 1000 hours of audiobooks, 16 kHz FLAC, CC BY 4.0.

    root/LibriSpeech/<split>/<speaker>/<chapter>/<speaker>-<chapter>-<number>.flac
    root/LibriSpeech/<split>/<speaker>/<chapter>/<speaker>-<chapter>.trans.txt

V. Panayotov, G. Chen, D. Povey, S. Khudanpur: "Librispeech: an ASR corpus based on public domain
audio books", ICASSP 2015. The dev and test splits are for measuring, never for training.

train-clean-5 and dev-clean-2 are Mini LibriSpeech (openslr.org/31), 5 hours of train-clean-100 and
2 of dev-clean: use the mini splits or the full ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vqaudio.corpora.archives import OPENSLR, Archive, Source
from vqaudio.corpora.lengths import LISTING
from vqaudio.corpora.rows import Row, to_utterances
from vqaudio.corpora.utterance import About, Utterance
from vqaudio.errors import CorpusError

# Resource of openslr.org, bytes, and the MD5 sum in the md5sum.txt there.
_PUBLISHED = {
    "train-clean-100": (12, 6_387_309_499, "2a93770f6d5c6c964bc36631d331a522"),
    "train-clean-360": (12, 23_049_477_885, "c0e676e450a7ff2f54aeade5171606fa"),
    "train-other-500": (12, 30_593_501_606, "d1a0fd59409feb2c614ce4d30c387708"),
    "dev-clean": (12, 337_926_286, "42e2234ba48799c1f50f24a7926300a1"),
    "dev-other": (12, 314_305_928, "c8d0bcc9cca99d4f8b62fcc847357931"),
    "test-clean": (12, 346_663_984, "32fa31d27d2e1cad72775fee3f4849a9"),
    "test-other": (12, 328_757_843, "fb5a50374b501bb3bac4815ee91d3135"),
    "train-clean-5": (31, 332_954_390, "5df7d4e78065366204ca6845bb08f490"),
    "dev-clean-2": (31, 126_046_265, "6d7ab67ac6a1d2c993d050e16d61080d"),
}
SOURCE = Source(
    "librispeech",
    OPENSLR,
    {
        split: Archive(
            file=f"{resource}/{split}.tar.gz",
            num_bytes=num_bytes,
            checksum=f"md5:{md5}",
            folder=f"LibriSpeech/{split}",
            sign="*/*/*.flac",
        )
        for split, (resource, num_bytes, md5) in _PUBLISHED.items()
    },
    choose=True,
)
SPLITS: tuple[str, ...] = tuple(SOURCE.archives)
ABOUT = About(
    "LibriSpeech, English audiobooks, 16 kHz",
    "CC BY 4.0",
    982,
    2484,
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
    """The utterances of a split with their texts, sorted by speaker, chapter and number as text.

    Raises CorpusError when the split is unknown or is not there, when a chapter has no
    transcript, or when a file cannot be read.
    """
    folder = SOURCE.folder(root, split)
    rows = []
    for chapter in sorted(path for path in folder.glob("*/*") if path.is_dir()):
        speaker = chapter.parent.name
        texts = _transcript(chapter / f"{speaker}-{chapter.name}.trans.txt")
        for path in sorted(chapter.glob("*.flac"), key=str):
            text = texts.get(path.stem) or None  # an id alone on its line: no text is known
            rows.append(Row(split, path, speaker=speaker, text=text))
    return to_utterances(rows, folder / LISTING, remedy="unpack the archive of its split anew")


def _transcript(path: Path) -> dict[str, str]:
    """Utterance id -> text. A line is `84-121123-0000 GO DO YOU HEAR`."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        raise CorpusError(f"{path} is missing: unpack the archive of its split anew.") from None
    pairs = (line.partition(" ") for line in lines)
    return {name: text.strip() for name, _, text in pairs}
