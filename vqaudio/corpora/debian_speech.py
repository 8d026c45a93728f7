"""Eight hours of speech that Debian packages carry: a training set anyone can rebuild with apt.

`download` fetches the packages, and turns what is speech in them into 16 kHz mono FLAC:

    root/debian-speech/<speaker>/<name>.flac
    root/debian-speech/utterances.jsonl     one line a clip; written last, so it marks completion

A speaker is a voice as far as the packages tell voices apart: one per language in the word
games. Validation speakers are never trained on. LibriSpeech is no part of this corpus: its dev
sets are never touched, and stay free for measuring.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.filesize import decimal
from rich.progress import Progress

from vqaudio import audio
from vqaudio.corpora.debian_packages import (
    PACKAGES,
    Clip,
    Package,
    find_clips,
    unpack_package,
)
from vqaudio.corpora.download import only_one
from vqaudio.corpora.splitting import check_split
from vqaudio.corpora.utterance import About, Utterance
from vqaudio.errors import AudioError, CorpusError
from vqaudio.files import atomic

SPLITS: tuple[str, ...] = ("train", "validation")
ABOUT = About(
    "speech from Debian packages: prompts, dialogues, games, in many languages, 16 kHz",
    licence="free, one per package",
    hours=8.6,
    speakers=47,
    num_bytes=sum(package.num_bytes for package in PACKAGES),
)

# 45 minutes. The two games' Ukrainian sounds like one voice (the pitch agrees), so both are here;
# their Greek and Italian are other voices than tuxpaint's and asterisk's.
VALIDATION_SPEAKERS = frozenset({"asterisk-it", "tuxpaint-el", "klettres-uk", "ktuberling-uk"})

SAMPLE_RATE = 16_000  # Hz
MIN_SECONDS = 0.3
SILENT_PEAK = 10 ** (-50 / 20)  # of full scale: asterisk's silence/ prompts
DULL_BELOW_DB = -70.0  # 5 to 8 kHz in a clip's energy: dull ones have -74 to -100, others > -65

logger = logging.getLogger(__name__)


def to_fetch(root: Path, splits: Sequence[str]) -> int:
    """Bytes of the packages that `download` would fetch; both splits come of all packages.

    Raises CorpusError for an unknown split.
    """
    for split in splits:
        check_split("debian-speech", split, SPLITS)
    folder = root / "debian-speech"
    if (folder / "utterances.jsonl").exists():
        return 0
    return sum(package.num_bytes for package in PACKAGES if not _done(folder, package).exists())


def download(root: Path, splits: Sequence[str], *, packages: Path | None = None) -> None:
    """Build the corpus below `root`, both splits at once; continue where an earlier call stopped.

    `packages` is a folder of .deb files to use in place of `apt-get download`. apt checks what
    it fetches against the signed package lists, so no checksums are repeated here.

    Raises CorpusError for an unknown split, and when apt, dpkg or PyAV is missing or fails.
    """
    to_fetch(root, splits)
    folder = root / "debian-speech"
    if (folder / "utterances.jsonl").exists():
        return
    if packages is None:
        size = decimal(to_fetch(root, splits))
        print(f"debian-speech: {size} of packages to fetch with apt-get", file=sys.stderr)
    lines: list[str] = []
    with only_one(folder), Progress(console=Console(stderr=True)) as progress:
        for package in PACKAGES:
            done = _done(folder, package)
            if not done.exists():
                seen = {json.loads(line)["sha256"] for line in lines}
                rows = _convert(package, folder, packages, seen, progress)
                _write(done, [json.dumps(row, ensure_ascii=False) for row in rows])
            lines += done.read_text(encoding="utf-8").splitlines()
    _write(folder / "utterances.jsonl", lines)


def utterances(root: Path, split: str) -> list[Utterance]:
    """The clips of "train" or "validation" below `root`, in the order of `utterances.jsonl`.

    Raises CorpusError when the split is unknown, or `download` has not finished.
    """
    check_split("debian-speech", split, SPLITS)
    folder = root / "debian-speech"
    try:
        lines = (folder / "utterances.jsonl").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise CorpusError(
            f"{folder} has no utterances.jsonl: download the corpus debian-speech to {root} first."
        ) from None
    rows = [json.loads(line) for line in lines]
    return [
        Utterance(folder / row["path"], row["speaker"], row["seconds"], row["text"])
        for row in rows
        if (row["speaker"] in VALIDATION_SPEAKERS) == (split == "validation")
    ]


def _done(folder: Path, package: Package) -> Path:
    """The rows of a package, there when it has been converted to its end."""
    return folder / ".done" / f"{package.name}.jsonl"


def _write(path: Path, lines: list[str]) -> None:
    with atomic(path) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _convert(
    package: Package, folder: Path, packages: Path | None, seen: set[str], progress: Progress
) -> list[dict[str, object]]:
    """Write the package's speech below `folder`; return one row a clip.

    `seen` holds the SHA-256 of the clips of all packages before this one, and is added to.
    """
    task = progress.add_task(package.name, total=None)
    rows: list[dict[str, object]] = []
    left_out: Counter[str] = Counter()
    folder.mkdir(parents=True, exist_ok=True)
    # Beside the corpus: /tmp is often a small memory disk, and a package unpacks to 400 MB.
    with tempfile.TemporaryDirectory(dir=folder, prefix=".unpack-") as temporary:
        # dpkg runs in there, where a relative path would lead elsewhere.
        unpacked = unpack_package(package, Path(temporary).resolve(), packages)
        clips = find_clips(package, unpacked)
        for clip in progress.track(clips, task_id=task):
            samples, fault = _read(clip)
            sha256 = hashlib.sha256(samples.tobytes()).hexdigest()
            if fault is None and sha256 in seen:
                fault = "duplicate"
            if fault is not None:
                left_out[fault] += 1
                continue
            seen.add(sha256)
            path = Path(clip.speaker, f"{clip.name}.flac")
            audio.write(folder / path, samples[None], SAMPLE_RATE)
            row: dict[str, object] = {"path": path.as_posix(), "speaker": clip.speaker}
            row |= {"seconds": len(samples) / SAMPLE_RATE, "text": clip.text}
            row |= {"package": package.name, "licence": package.licence, "sha256": sha256}
            rows.append(row)
    logger.info("%s: kept %d clips, left out %s.", package.name, len(rows), dict(left_out))
    return rows


def _read(clip: Clip) -> tuple[NDArray[np.float32], str | None]:
    """A clip as samples [S] at 16 kHz within full scale, and why it is of no use (None: it is)."""
    if clip.path.suffix == ".g722":
        _check_pyav()
    try:
        waveform, sample_rate = audio.read(clip.path)
    except AudioError:  # a prompt of no bytes: asterisk's "is" in Russian, which has no such word
        return np.zeros(0, np.float32), "unreadable"
    fault = _fault(waveform[0], sample_rate)
    samples = audio.resample(waveform, sample_rate, SAMPLE_RATE)[0]
    # Vorbis decodes past full scale. The clip is made softer, for clipping is heard.
    return samples / np.maximum(np.abs(samples).max(), np.float32(1)), fault


def _fault(samples: NDArray[np.float32], sample_rate: int) -> str | None:
    """Why samples [S] are of no use, or None."""
    if sample_rate < SAMPLE_RATE:
        return "below 16 kHz"
    if len(samples) < MIN_SECONDS * sample_rate:
        return "short"
    if np.abs(samples).max() < SILENT_PEAK:
        return "silent"
    # Some tuxpaint stamps were recorded at 8 kHz or through a telephone and resampled since:
    # a codec trained on them learns that fricatives may be missing.
    # Without a window, the jump from the last sample to the first would fill the upper band.
    energy = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    hertz = np.fft.rfftfreq(len(samples), 1 / sample_rate)
    high = energy[(hertz > 5000) & (hertz < 8000)].sum() / energy.sum()
    return "dull" if high < 10 ** (DULL_BELOW_DB / 10) else None


def _check_pyav() -> None:
    try:
        import av  # noqa: F401
    except ImportError:
        raise CorpusError(
            "reading Debian's G.722 prompts needs PyAV: pip install 'vqaudio[train]'."
        ) from None
