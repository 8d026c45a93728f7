"""Telephone prompts from Debian packages: 49 minutes, three voices, 8 kHz, for measuring only.

    root/asterisk-prompts/<speaker>/<name>.flac
    root/asterisk-prompts/utterances.jsonl     one line a clip; written last

French, Spanish and Italian as a telephone carries them. Whoever trains on debian-speech has heard
none of the three, and no model should be trained on them.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.filesize import decimal
from rich.progress import Progress

from vqaudio import audio
from vqaudio.corpora.debian_packages import PROMPTS, Package, find_clips, unpack_package
from vqaudio.corpora.download import only_one
from vqaudio.corpora.splitting import check_split
from vqaudio.corpora.utterance import About, Utterance
from vqaudio.errors import AudioError, CorpusError
from vqaudio.files import atomic

SPLITS: tuple[str, ...] = ("test",)
ABOUT = About(
    "telephone prompts from Debian packages, 3 languages, 8 kHz, for measuring",
    licence="free, one per package",
    hours=0.8,
    speakers=3,
    num_bytes=sum(package.num_bytes for package in PROMPTS),
)

MIN_SECONDS = 0.3
SILENT_PEAK = 10 ** (-50 / 20)  # of full scale


def to_fetch(root: Path, splits: Sequence[str]) -> int:
    """Bytes that `download` would fetch. Raises CorpusError for an unknown split."""
    for split in splits:
        check_split("asterisk-prompts", split, SPLITS)
    return 0 if _listing(root).exists() else sum(package.num_bytes for package in PROMPTS)


def download(root: Path, splits: Sequence[str], *, packages: Path | None = None) -> None:
    """Build the corpus below `root`.

    `packages` is a folder of .deb files to use in place of `apt-get download`.

    Raises CorpusError for an unknown split, and when apt, dpkg or PyAV is missing or fails.
    """
    num_bytes = to_fetch(root, splits)
    if not num_bytes:
        return
    if packages is None:
        size = decimal(num_bytes)
        print(f"asterisk-prompts: {size} of packages to fetch with apt-get", file=sys.stderr)
    folder = _listing(root).parent
    with only_one(folder), Progress(console=Console(stderr=True), transient=True) as progress:
        if _listing(root).exists():
            return
        rows = []
        for package in progress.track(PROMPTS, description="asterisk-prompts"):
            rows += list(_convert(package, folder, packages))
        with atomic(_listing(root)) as temporary:
            temporary.write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")


def utterances(root: Path, split: str) -> list[Utterance]:
    """The prompts below `root`, in the order of `utterances.jsonl`.

    Raises CorpusError when the split is unknown, or `download` has not finished.
    """
    check_split("asterisk-prompts", split, SPLITS)
    listing = _listing(root)
    if not listing.exists():
        raise CorpusError(
            f"{listing} does not exist: run vqaudio download asterisk-prompts {root}."
        )
    rows = [json.loads(line) for line in listing.read_text("utf-8").splitlines()]
    return [Utterance(listing.parent / row["path"], row["speaker"], row["seconds"]) for row in rows]


def _listing(root: Path) -> Path:
    return root / "asterisk-prompts" / "utterances.jsonl"


def _convert(package: Package, folder: Path, packages: Path | None) -> Iterator[dict[str, object]]:
    """Write the package's prompts below `folder`; yields one row each."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=".unpack-") as temporary:
        # dpkg runs in there, where a relative path would lead elsewhere.
        unpacked = unpack_package(package, Path(temporary).resolve(), packages)
        for clip in find_clips(package, unpacked):
            try:
                waveform, sample_rate = audio.read(clip.path)
            except AudioError as error:
                raise CorpusError(f"{package.name} cannot be converted: {error}.") from None
            seconds = waveform.size / sample_rate
            if seconds < MIN_SECONDS or np.abs(waveform).max() < SILENT_PEAK:
                continue
            path = Path(clip.speaker, f"{clip.name}.flac")
            audio.write(folder / path, waveform, sample_rate)
            row: dict[str, object] = {"path": path.as_posix(), "speaker": clip.speaker}
            yield row | {"seconds": seconds, "licence": package.licence}
