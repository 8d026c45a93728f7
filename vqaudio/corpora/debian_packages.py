"""Where Debian's packages keep speech, who speaks, and what is to be left out.

The file names are those of Debian 12 (bookworm); a package moves its files once in many years.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from vqaudio.audio import find_audio
from vqaudio.errors import AudioError, CorpusError


@dataclass(frozen=True)
class Clip:
    """A sound file in an unpacked package that holds speech. `name` is unique per speaker."""

    path: Path
    speaker: str
    name: str
    text: str | None = None


@dataclass(frozen=True)
class Package:
    """A Debian package, its size, the licence of its recordings, and how its speech is found.

    `clips` takes the folder that the package was unpacked in. It raises AudioError or
    FileNotFoundError when the package is laid out in another way.
    """

    name: str
    num_bytes: int
    licence: str
    clips: Callable[[Path], Iterator[Clip]]


def unpack_package(package: Package, temporary: Path, packages: Path | None) -> Path:
    """Fetch a package unless the folder `packages` has it; unpack it below the folder `temporary`.

    Raises CorpusError when apt or dpkg is missing or fails.
    """
    if packages is None:
        remedy = "run apt-get update and try again"
        _run(["apt-get", "download", package.name], temporary, remedy)
    found = sorted((packages or temporary).glob(f"{package.name}_*.deb"))
    if not found:
        raise CorpusError(
            f"{packages} has no {package.name}_*.deb: put it there with apt-get download."
        )
    unpacked = temporary / "unpacked"
    _run(["dpkg", "-x", str(found[-1].resolve()), str(unpacked)], temporary, "fetch it anew")
    return unpacked


def find_clips(package: Package, unpacked: Path) -> list[Clip]:
    """The speech in an unpacked package, sorted by speaker and name.

    Raises CorpusError when it is laid out in another way.
    """
    try:
        clips = list(package.clips(unpacked))
    except (AudioError, FileNotFoundError) as error:
        raise CorpusError(
            f"{package.name} is not laid out as in Debian 12 ({error}): take that release's .deb."
        ) from None
    return sorted(clips, key=lambda clip: (clip.speaker, clip.name))


def _run(command: list[str], folder: Path, remedy: str) -> None:
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        raise CorpusError(
            f"{command[0]} was not found: build this corpus on Debian or Ubuntu, and copy it."
        ) from None
    except subprocess.CalledProcessError as error:
        said = " ".join(error.stderr.split())
        raise CorpusError(f"{' '.join(command)} failed: {remedy} (it said: {said}).") from None


def _sounds(folder: Path) -> Iterator[tuple[Path, tuple[str, ...], str]]:
    """Sound files below `folder`: path, folders between, and a name that no other file has."""
    for path in find_audio(folder):
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


_klettres = _word_game(
    "klettres",
    "usr/share/klettres",
    frozenset({"ml", "nb", "tn"}),  # clipped
)
_ktuberling = _word_game(
    "ktuberling",
    "usr/share/ktuberling/sounds",
    frozenset({"gl", "sl"})  # clipped
    | frozenset({"es", "fi", "it", "nds", "nl", "pt", "sv"}),  # 8 kHz
)


def _telephone(speaker: str) -> Callable[[Path], Iterator[Clip]]:
    """Telephone prompts at 8 kHz. Older names of folders are links to the newer ones."""

    def clips(unpacked: Path) -> Iterator[Clip]:
        folder = unpacked / "usr/share/asterisk/sounds"
        if not folder.is_dir():
            raise FileNotFoundError(f"no {folder}")
        for path in sorted([*folder.rglob("*.gsm"), *folder.rglob("*.wav")]):
            parts = path.relative_to(folder).with_suffix("").parts
            if "silence" not in parts and not path.stem.startswith("beep"):
                yield Clip(path, speaker, "-".join(parts))

    return clips


PROMPTS = (
    Package(
        "asterisk-prompt-fr-armelle", 1_496_780, "BSD-3-Clause", _telephone("asterisk-armelle")
    ),
    Package("asterisk-prompt-es-co", 992_708, "GPL-2", _telephone("asterisk-co")),
    Package(
        "asterisk-prompt-it-menardi-wav",
        18_776_300,
        "CC-BY-SA-3.0-IT",
        _telephone("asterisk-menardi"),
    ),
)
"""Three voices, one a package, that PACKAGES does not have."""

PACKAGES = (
    Package("festvox-ru", 178_728_512, "BSD-like", _festvox),
    Package(
        "asterisk-core-sounds-en-g722", 10_565_860, "CC-BY-SA-3.0", _asterisk("asterisk-allison")
    ),
    Package(
        "asterisk-core-sounds-es-g722", 13_048_380, "CC-BY-SA-3.0", _asterisk("asterisk-allison")
    ),
    Package("asterisk-core-sounds-fr-g722", 10_822_860, "CC-BY-SA-3.0", _asterisk("asterisk-fr")),
    Package("asterisk-core-sounds-it-g722", 10_087_176, "CC-BY-3.0", _asterisk("asterisk-it")),
    Package("asterisk-core-sounds-ru-g722", 10_579_440, "CC-BY-3.0", _asterisk("asterisk-ru")),
    Package("fillets-ng-data-cs", 39_042_172, "GPL-2", _fillets),
    Package("tuxpaint-stamps-default", 160_880_444, "GPL-2", _tuxpaint),
    Package("klettres-data", 39_529_084, "GPL-2+", _klettres),
    Package("ktuberling-data", 46_661_752, "GPL-2+", _ktuberling),
)
