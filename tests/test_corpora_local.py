"""Corpora that are built from what the user or Debian has: Common Voice, telephone prompts."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from mirror import pack, tone

from vqaudio.corpora import Utterance, asterisk_prompts, common_voice
from vqaudio.corpora.debian_packages import PROMPTS
from vqaudio.errors import CorpusError

RELEASE = "cv-corpus-22.0-2025-06-20"
HEADER = "client_id\tpath\tsentence_id\tsentence\tage\n"


def common_voice_files(language: str) -> dict[str, bytes]:
    files = {}
    for split, speaker in (("train", "aa"), ("dev", "bb"), ("test", "cc")):
        line = f'{speaker}\t{speaker}.mp3\t1\t"Ja, sagte er.\t\n'
        files[f"{RELEASE}/{language}/{split}.tsv"] = f"{HEADER}{line}".encode()
        files[f"{RELEASE}/{language}/clips/{speaker}.mp3"] = tone(kind="FLAC")
    return files


def test_common_voice_is_unpacked_and_listed(tmp_path: Path) -> None:
    archive = tmp_path / f"{RELEASE}-de.tar.gz"
    archive.write_bytes(pack(common_voice_files("de"), archive.name))
    common_voice.download(tmp_path, ["train"])
    assert archive.exists()  # it is the user's
    clip = tmp_path / RELEASE / "de/clips/aa.mp3"
    assert common_voice.utterances(tmp_path, "train") == [
        Utterance(clip, "aa", 0.25, '"Ja, sagte er.', language="de")
    ]
    assert [u.speaker for u in common_voice.utterances(tmp_path, "dev")] == ["bb"]
    assert [u.speaker for u in common_voice.utterances(tmp_path, "test")] == ["cc"]
    clip.unlink()
    common_voice.download(tmp_path, ["train"])  # not again
    with pytest.raises(CorpusError, match=r"train\.tsv, line 2: cannot read .*aa\.mp3: No such"):
        common_voice.utterances(tmp_path, "train")


def test_common_voice_says_where_the_archive_comes_from(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"found none: take the \.tar\.gz of a language from"):
        common_voice.download(tmp_path, ["train"])
    for language in ("de", "fr"):
        (tmp_path / f"{language}.tar.gz").touch()
    with pytest.raises(CorpusError, match=r"one archive of Common Voice, found de\.tar\.gz, fr\.t"):
        common_voice.download(tmp_path, ["train"])


def test_common_voice_unpacked_by_hand(tmp_path: Path) -> None:
    for language in ("de", "fr"):
        for name, data in common_voice_files(language).items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    common_voice.download(tmp_path, ["train"])
    with pytest.raises(CorpusError, match=f"found {RELEASE}/de, {RELEASE}/fr: give each language"):
        common_voice.utterances(tmp_path, "train")
    assert len(common_voice.utterances(tmp_path / RELEASE / "de", "train")) == 1
    (tmp_path / RELEASE / "de/dev.tsv").unlink()
    with pytest.raises(CorpusError, match=r"dev\.tsv is missing: unpack the archive anew"):
        common_voice.utterances(tmp_path / RELEASE / "de", "dev")
    (tmp_path / RELEASE / "de/test.tsv").write_text("name\nx\n")
    with pytest.raises(CorpusError, match=r"test\.tsv, line 2: no columns `path` and `client_id`"):
        common_voice.utterances(tmp_path / RELEASE / "de", "test")


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """Tiny twins of the three packages: a prompt each, a beep, a short one and silence."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("asterisk-prompts is built with dpkg, missing here")
    debs = tmp_path / "debs"
    debs.mkdir()
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, 8000)
    for package in PROMPTS:
        root = tmp_path / "raw" / package.name
        sounds = root / "usr/share/asterisk/sounds/xx"
        (sounds / "digits").mkdir(parents=True)
        soundfile.write(sounds / "hello.wav", noise, 8000)
        soundfile.write(sounds / "digits/1.wav", noise[:1000], 8000)
        soundfile.write(sounds / "beep.wav", noise, 8000)
        soundfile.write(sounds / "quiet.wav", 0.001 * noise, 8000)
        (sounds.parent / "old").symlink_to("xx")
        (root / "DEBIAN").mkdir()
        (root / "DEBIAN/control").write_text(
            f"Package: {package.name}\nVersion: 1\nArchitecture: all\n"
            "Maintainer: A <a@b.c>\nDescription: x\n"
        )
        deb = debs / f"{package.name}_1_all.deb"
        command = ["dpkg-deb", "-Znone", "--build", str(root), str(deb)]
        subprocess.run(command, check=True, capture_output=True)
    return debs


def test_telephone_prompts_are_kept_at_their_rate(packages: Path, tmp_path: Path) -> None:
    assert asterisk_prompts.to_fetch(tmp_path, []) == asterisk_prompts.ABOUT.num_bytes
    with pytest.raises(CorpusError, match="run vqaudio download asterisk-prompts"):
        asterisk_prompts.utterances(tmp_path, "test")
    asterisk_prompts.download(tmp_path, ["test"], packages=packages)
    found = asterisk_prompts.utterances(tmp_path, "test")
    assert [(u.speaker, u.path.name, u.seconds) for u in found] == [
        ("asterisk-armelle", "xx-hello.flac", 1.0),
        ("asterisk-co", "xx-hello.flac", 1.0),
        ("asterisk-menardi", "xx-hello.flac", 1.0),
    ]
    assert {soundfile.info(u.path).samplerate for u in found} == {8000}
    assert not list(tmp_path.rglob(".unpack-*"))
    assert asterisk_prompts.to_fetch(tmp_path, ["test"]) == 0
    asterisk_prompts.download(tmp_path, ["test"], packages=Path("nowhere"))  # not again
