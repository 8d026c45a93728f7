"""Eight hours of speech that Debian packages carry: a training set anyone can rebuild with apt.

`download` fetches the packages, and turns what is speech in them into 16 kHz mono FLAC:

    root/debian-speech/<speaker>/<name>.flac
    root/debian-speech/utterances.jsonl     one line a clip; written last, so it marks completion

A speaker is a voice as far as the packages tell voices apart: one per language in the word
games. Validation speakers are never trained on. LibriSpeech is no part of this corpus; its dev
sets stay free for measuring.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from rich.console import Console
from rich.progress import Progress

from vqaudio.corpora.utterance import Utterance
from vqaudio.errors import CorpusError

SPLITS: tuple[str, ...] = ("train", "validation")
VALIDATION_SPEAKERS = frozenset({"asterisk-it", "tuxpaint-el", "klettres-uk", "ktuberling-uk"})

SAMPLE_RATE = 16_000  # Hz
MIN_SECONDS = 0.3
SILENT_PEAK = 10 ** (-50 / 20)  # of full scale: asterisk's silence/ prompts and failed takes
DULL_BELOW_DB = -60.0  # share of 5 to 8 kHz in a clip's energy; speech has -50 to -10

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Clip:
    """A sound file in an unpacked package that is worth keeping. `name` is unique per speaker."""

    path: Path
    speaker: str
    name: str
    text: str | None = None


@dataclass(frozen=True)
class Package:
    """A Debian package, the licence of its recordings, and how its speech is found."""

    name: str
    licence: str
    clips: Callable[[Path], Iterator[Clip]]


def download(root: Path, splits: Sequence[str] = SPLITS, *, packages: Path | None = None) -> None:
    """Build the corpus below `root`, both splits at once; continue where an earlier call stopped.

    `packages` is a folder of .deb files to use in place of `apt-get download`. apt checks what
    it fetches against the signed package lists, so no checksums are repeated here.

    Raises CorpusError when apt or dpkg is missing or fails, or PyAV is missing.
    """
    for split in splits:
        _check_split(split)
    folder = root / "debian-speech"
    if (folder / "utterances.jsonl").exists():
        return
    (folder / ".done").mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    with Progress(console=Console(stderr=True)) as progress:
        for package in PACKAGES:
            done = folder / ".done" / f"{package.name}.jsonl"
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
    _check_split(split)
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


def _check_split(split: str) -> None:
    if split not in SPLITS:
        raise CorpusError(f"debian-speech has no split {split!r}: choose from {', '.join(SPLITS)}.")


def _write(path: Path, lines: list[str]) -> None:
    part = path.with_suffix(".part")
    part.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    part.rename(path)


# ---- one package: unpack, convert, keep what is usable --------------------------------------


def _convert(
    package: Package, folder: Path, packages: Path | None, seen: set[str], progress: Progress
) -> list[dict[str, object]]:
    """Write the package's speech below `folder`; return one row a clip, and add to `seen`."""
    task = progress.add_task(package.name, total=None)
    rows: list[dict[str, object]] = []
    left_out: Counter[str] = Counter()
    # Beside the corpus: /tmp is often a small memory disk, and a package unpacks to 300 MB.
    with tempfile.TemporaryDirectory(dir=folder, prefix=".unpack-") as temporary:
        unpacked = _unpack(package.name, Path(temporary), packages)
        clips = sorted(package.clips(unpacked), key=lambda clip: (clip.speaker, clip.name))
        for clip in progress.track(clips, task_id=task):
            samples, sample_rate = _read(clip.path)
            fault = _fault(samples, sample_rate)
            pcm = _to_pcm(samples, sample_rate)
            sha256 = hashlib.sha256(pcm.tobytes()).hexdigest()
            if fault is None and sha256 in seen:
                fault = "a duplicate"
            if fault is not None:
                left_out[fault] += 1
                continue
            seen.add(sha256)
            path = Path(clip.speaker) / f"{clip.name}.flac"
            (folder / clip.speaker).mkdir(exist_ok=True)
            part = folder / f"{path}.part"
            soundfile.write(part, pcm, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
            part.rename(folder / path)
            rows.append(
                {
                    "path": path.as_posix(),
                    "speaker": clip.speaker,
                    "seconds": len(pcm) / SAMPLE_RATE,
                    "text": clip.text,
                    "package": package.name,
                    "licence": package.licence,
                    "sha256": sha256,
                }
            )
    logger.info("%s: kept %d clips, left out %s", package.name, len(rows), dict(left_out))
    return rows


def _unpack(name: str, temporary: Path, packages: Path | None) -> Path:
    """Fetch `name` unless `packages` has it, and unpack it below `temporary`."""
    if packages is None:
        _run(["apt-get", "download", name], temporary, "run apt-get update and try again")
    found = sorted((packages or temporary).glob(f"{name}_*.deb"))
    if not found:
        raise CorpusError(f"{packages} has no {name}_*.deb: put it there with apt-get download.")
    unpacked = temporary / "unpacked"
    _run(["dpkg", "-x", str(found[-1].resolve()), str(unpacked)], temporary, "fetch it anew")
    return unpacked


def _run(command: list[str], folder: Path, remedy: str) -> None:
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        raise CorpusError(
            f"{command[0]} was not found: build debian-speech on Debian or Ubuntu, and copy it."
        ) from None
    except subprocess.CalledProcessError as error:
        said = " ".join(error.stderr.split())
        raise CorpusError(f"{' '.join(command)} failed: {remedy} (it said: {said}).") from None


def _read(path: Path) -> tuple[np.ndarray, int]:
    """Mono samples [S] in float32, and their rate in Hz."""
    if path.suffix == ".g722":
        return _read_g722(path), 16_000
    samples, sample_rate = soundfile.read(path, dtype="float32", always_2d=True)
    return samples.mean(axis=1), sample_rate


def _read_g722(path: Path) -> np.ndarray:
    """G.722 is 16 kHz by definition. The files have no header, so the format must be told."""
    try:
        import av
    except ImportError:
        raise CorpusError(
            "reading Debian's G.722 prompts needs PyAV: pip install 'vqaudio[train]'."
        ) from None
    with av.open(str(path), format="g722") as container:
        blocks = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
    if not blocks:  # a prompt of no bytes: "is", in languages that need no such word
        return np.zeros(0, np.float32)
    return np.concatenate(blocks).astype(np.float32) / 2**15


def _fault(samples: np.ndarray, sample_rate: int) -> str | None:
    """Why a clip is of no use, or None."""
    if sample_rate < SAMPLE_RATE:
        return "below 16 kHz"
    if len(samples) < MIN_SECONDS * sample_rate:
        return "short"
    if np.abs(samples).max() < SILENT_PEAK:
        return "silent"
    # Some tuxpaint stamps were recorded at 8 kHz or through a telephone and resampled since:
    # a codec trained on them learns that fricatives may be missing.
    energy = np.abs(np.fft.rfft(samples)) ** 2
    hertz = np.fft.rfftfreq(len(samples), 1 / sample_rate)
    high = energy[(hertz > 5000) & (hertz < 8000)].sum() / energy.sum()
    return "dull" if high < 10 ** (DULL_BELOW_DB / 10) else None


def _to_pcm(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """16 kHz, int16. Vorbis decodes past full scale: scaled down there, for clipping is heard.

    16-bit recordings at 16 kHz come through unchanged, hence 2**15 and the clip of its one
    value too many.
    """
    resampled: np.ndarray = soxr.resample(samples, sample_rate, SAMPLE_RATE, quality="HQ")
    peak = float(np.abs(resampled).max(initial=1.0))
    return np.round(resampled / peak * 2**15).clip(-(2**15), 2**15 - 1).astype(np.int16)


# ---- what is speech in each package ---------------------------------------------------------


def _sounds(folder: Path) -> Iterator[tuple[Path, tuple[str, ...], str]]:
    """Sound files below `folder`: path, folders between, and a name that no other file has."""
    for path in sorted(folder.rglob("*")):
        if path.suffix in {".wav", ".ogg", ".opus", ".g722"}:
            parts = path.relative_to(folder).with_suffix("").parts
            yield path, parts[:-1], "-".join(parts)


def _festvox(unpacked: Path) -> Iterator[Clip]:
    """One man reads 620 sentences; + marks a stressed vowel in the texts."""
    voice = unpacked / "usr/share/festival/voices/russian/msu_ru_nsh_clunits"
    script = (voice / "etc/txt.done.data").read_text(encoding="utf-8")
    texts = dict(re.findall(r'^\( *(\S+) +"(.*)" *\)', script, flags=re.MULTILINE))
    for path, _, name in _sounds(voice / "wav"):
        text = texts.get(path.stem)
        yield Clip(path, "festvox-ru", name, text and text.replace("+", ""))


def _asterisk(speaker: str) -> Callable[[Path], Iterator[Clip]]:
    """Telephone prompts. The texts are in other packages."""
    tones = re.compile(r"beep|beeperr|.*-2tone|confbridge-(join|leave)|tt-monkeys")

    def clips(unpacked: Path) -> Iterator[Clip]:
        for path, _, name in _sounds(unpacked / "usr/share/asterisk/sounds"):
            if not tones.fullmatch(path.stem):
                yield Clip(path, speaker, name)

    return clips


def _fillets(unpacked: Path) -> Iterator[Clip]:
    """Dialogues of a small (malá) and a big (velká) fish, who are -m- and -v- in file names."""
    for path, folders, name in _sounds(unpacked / "usr/share/games/fillets-ng/sound"):
        roles = path.stem.split("-")
        role = "small" if "m" in roles else "big" if "v" in roles else "others"
        if "cs" in folders:
            yield Clip(path, f"fillets-cs-{role}", name)


def _tuxpaint(unpacked: Path) -> Iterator[Clip]:
    """Picture descriptions; files without a language are noises of animals and machines.

    Spanish is clipped. Each picture's .txt has its text in English, then lines `fr.utf8=...`.
    """
    language = re.compile(r"(.+?)(?:_desc)?_(be|bg|ca|da|el|fr|ro|ru)")
    for path, _, name in _sounds(unpacked / "usr/share/tuxpaint/stamps"):
        if match := language.fullmatch(path.stem):
            stamp, code = match.groups()
            script = path.with_name(f"{stamp}.txt")
            text = None
            if "_desc_" in path.stem and script.exists():
                line = re.search(rf"^{code}\.utf8=(.+)$", script.read_text("utf-8"), re.MULTILINE)
                text = line and line[1].strip()
            yield Clip(path, f"tuxpaint-{code}", name, text)


def _word_game(
    game: str, folder: str, left_out: frozenset[str]
) -> Callable[[Path], Iterator[Clip]]:
    """A KDE game for children, with a sub-folder of letters, syllables or words per language."""

    def clips(unpacked: Path) -> Iterator[Clip]:
        for path, folders, name in _sounds(unpacked / folder):
            if folders and folders[0] not in left_out:
                yield Clip(path, f"{game}-{folders[0]}", name)

    return clips


_CLIPPED_KLETTRES = frozenset({"ml", "nb", "tn"})
_POOR_KTUBERLING = frozenset(
    {"gl", "sl", "es", "fi", "it", "nds", "nl", "pt", "sv"}
)  # 8 kHz: es on

PACKAGES = (
    Package("festvox-ru", "BSD-like", _festvox),
    Package("asterisk-core-sounds-en-g722", "CC-BY-SA-3.0", _asterisk("asterisk-allison")),
    Package("asterisk-core-sounds-es-g722", "CC-BY-SA-3.0", _asterisk("asterisk-allison")),
    Package("asterisk-core-sounds-fr-g722", "CC-BY-SA-3.0", _asterisk("asterisk-fr")),
    Package("asterisk-core-sounds-it-g722", "CC-BY-3.0", _asterisk("asterisk-it")),
    Package("asterisk-core-sounds-ru-g722", "CC-BY-3.0", _asterisk("asterisk-ru")),
    Package("fillets-ng-data-cs", "GPL-2", _fillets),
    Package("tuxpaint-stamps-default", "GPL-2", _tuxpaint),
    Package(
        "klettres-data",
        "GPL-2+",
        _word_game("klettres", "usr/share/klettres", _CLIPPED_KLETTRES),
    ),
    Package(
        "ktuberling-data",
        "GPL-2+",
        _word_game("ktuberling", "usr/share/ktuberling/sounds", _POOR_KTUBERLING),
    ),
)
