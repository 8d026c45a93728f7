"""Where Debian's packages keep speech, who speaks, and what is to be left out.

The file names are those of Debian 12 (bookworm); a package moves its files once in many years.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from vqaudio.audio import find_audio


@dataclass(frozen=True)
class Clip:
    """A sound file in an unpacked package that holds speech. `name` is unique per speaker."""

    path: Path
    speaker: str
    name: str
    text: str | None = None


@dataclass(frozen=True)
class Package:
    """A Debian package, the licence of its recordings, and how its speech is found.

    `clips` takes the folder that the package was unpacked in. It raises AudioError or
    FileNotFoundError when the package is laid out in another way.
    """

    name: str
    licence: str
    clips: Callable[[Path], Iterator[Clip]]


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

PACKAGES = (
    Package("festvox-ru", "BSD-like", _festvox),
    Package("asterisk-core-sounds-en-g722", "CC-BY-SA-3.0", _asterisk("asterisk-allison")),
    Package("asterisk-core-sounds-es-g722", "CC-BY-SA-3.0", _asterisk("asterisk-allison")),
    Package("asterisk-core-sounds-fr-g722", "CC-BY-SA-3.0", _asterisk("asterisk-fr")),
    Package("asterisk-core-sounds-it-g722", "CC-BY-3.0", _asterisk("asterisk-it")),
    Package("asterisk-core-sounds-ru-g722", "CC-BY-3.0", _asterisk("asterisk-ru")),
    Package("fillets-ng-data-cs", "GPL-2", _fillets),
    Package("tuxpaint-stamps-default", "GPL-2", _tuxpaint),
    Package("klettres-data", "GPL-2+", _klettres),
    Package("ktuberling-data", "GPL-2+", _ktuberling),
)
