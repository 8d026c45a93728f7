"""Mozilla Common Voice, one language of one release: sentences read by volunteers, MP3, CC0.

    root/.../<language>/{train,dev,test}.tsv     client_id (the speaker), path, sentence, ...
    root/.../<language>/clips/<name>.mp3

R. Ardila et al.: "Common Voice: A Massively-Multilingual Speech Corpus", LREC 2020. The official
splits share no client_id; a person may have several. Mozilla gives an archive to those who sign in
and accept its terms, so nothing is fetched here: `download` unpacks the archive that lies in
`root`, and leaves it there.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from vqaudio.corpora.download import only_one, unpack
from vqaudio.corpora.lengths import LISTING
from vqaudio.corpora.rows import Row, to_utterances
from vqaudio.corpora.splitting import check_split
from vqaudio.corpora.utterance import About, Utterance
from vqaudio.errors import CorpusError

SPLITS: tuple[str, ...] = ("train", "dev", "test")
ABOUT = About("Common Voice, any language, from an archive that you bring", "CC0 1.0")


def to_fetch(root: Path, splits: Sequence[str]) -> int:
    """Nothing. Raises CorpusError for an unknown split."""
    for split in splits:
        check_split("common-voice", split, SPLITS)
    return 0


def download(root: Path, splits: Sequence[str]) -> None:
    """Unpack the one .tar.gz that lies in `root`, unless that has been done.

    Raises CorpusError for an unknown split, when there is no archive or more than one, and when it
    cannot be unpacked.
    """
    to_fetch(root, splits)
    marker = root / ".complete"
    if marker.exists() or (not _archives(root) and _languages(root)):
        return
    archives = _archives(root)
    if len(archives) != 1:
        found = ", ".join(path.name for path in archives) or "none"
        raise CorpusError(
            f"{root} must hold one archive of Common Voice, found {found}: take the .tar.gz of a "
            "language from commonvoice.mozilla.org, where one has to sign in, and put it there."
        )
    with only_one(root):
        if not marker.exists():
            unpack(archives[0], root, marker=marker)


def utterances(root: Path, split: str) -> list[Utterance]:
    """The clips of an official split with their texts, in the order of its .tsv.

    Raises CorpusError when the split is unknown, when `root` holds no language or more than one,
    and when a clip is missing or cannot be read.
    """
    check_split("common-voice", split, SPLITS)
    languages = _languages(root)
    if len(languages) != 1:
        found = ", ".join(str(path.relative_to(root)) for path in languages) or "none"
        raise CorpusError(
            f"{root} must hold one language of Common Voice, found {found}: give each language a "
            f"folder of its own, and run vqaudio download common-voice {root}."
        )
    rows = list(_rows(languages[0], split))
    listing = languages[0] / f".{split}{LISTING}"
    return to_utterances(rows, listing, remedy="unpack the archive anew")


def _rows(folder: Path, split: str) -> Iterator[Row]:
    """Quotation marks mean nothing in these files."""
    path = folder / f"{split}.tsv"
    try:
        file = path.open(encoding="utf-8", errors="replace", newline="")
    except FileNotFoundError:
        raise CorpusError(f"{path} is missing: unpack the archive anew.") from None
    with file:
        reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        for entry in reader:
            where = f"{path}, line {reader.line_num}"
            try:
                clip, speaker = folder / "clips" / entry["path"], entry["client_id"]
            except (KeyError, TypeError):
                raise CorpusError(
                    f"{where}: no columns `path` and `client_id`: take a release of Common Voice."
                ) from None
            text = entry.get("sentence") or None
            yield Row(where, clip, speaker=speaker, text=text, language=folder.name)


def _archives(root: Path) -> list[Path]:
    return sorted(path for path in root.glob("*.tar.gz") if not path.name.startswith("."))


def _languages(root: Path) -> list[Path]:
    """The folders with a train.tsv: `root` itself, or as archives have it, up to two below."""
    return sorted(
        path.parent
        for depth in ("", "*/", "*/*/")
        for path in root.glob(f"{depth}train.tsv")
        if not any(part.startswith(".") for part in path.relative_to(root).parts)
    )
