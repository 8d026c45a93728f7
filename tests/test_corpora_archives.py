"""Corpora from official archives: fetched, unpacked, listed, in miniatures of their layouts."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest
from mirror import Answer, Mirror, names, pack, running_mirror, tone
from rich.filesize import decimal

from vqaudio.cli import main
from vqaudio.corpora import (
    CORPORA,
    Utterance,
    librispeech,
    libritts,
    libritts_r,
    ljspeech,
    speechocean762,
    vctk,
)
from vqaudio.corpora.download import only_one
from vqaudio.errors import CorpusError

ARCHIVED = (librispeech, libritts, libritts_r, ljspeech, vctk, speechocean762)


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    with running_mirror(monkeypatch) as server:
        yield server


def serve(
    mirror: Mirror,
    monkeypatch: pytest.MonkeyPatch,
    corpus: ModuleType,
    split: str,
    files: Mapping[str, bytes],
) -> str:
    """Put an archive with `files` in the place of the official one; returns its path there."""
    source, archive = corpus.SOURCE, corpus.SOURCE.archives[split]
    data = pack(files, archive.file)
    path = f"/mirror/{archive.file}"
    mirror.files[path] = data
    monkeypatch.setenv(source.mirror, f"{mirror.address}/mirror/")
    checksum = archive.checksum
    if checksum is not None:
        algorithm = checksum.partition(":")[0]
        checksum = f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"
    tiny = archive._replace(num_bytes=len(data), checksum=checksum)
    for other, theirs in source.archives.items():
        if theirs == archive:
            monkeypatch.setitem(source.archives, other, tiny)
    return path


def libri_files(split: str) -> dict[str, bytes]:
    """As at openslr.org: two speakers, a chapter each, and the texts beside the splits."""
    files = {"LibriSpeech/LICENSE.TXT": b"CC BY 4.0\n"}
    for speaker in ("84", "251"):
        chapter = f"LibriSpeech/{split}/{speaker}/1"
        files[f"{chapter}/{speaker}-1-0000.flac"] = tone()
        files[f"{chapter}/{speaker}-1.trans.txt"] = f"{speaker}-1-0000 HELLO\n".encode()
    return files


@pytest.fixture
def openslr(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> Mirror:
    """Has dev-clean of LibriSpeech and dev-clean-2 of Mini LibriSpeech."""
    for split in ("dev-clean", "dev-clean-2"):
        serve(mirror, monkeypatch, librispeech, split, libri_files(split))
    return mirror


def test_librispeech_is_fetched_unpacked_and_listed(
    openslr: Mirror, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    splits = ["dev-clean", "dev-clean-2", "dev-clean"]
    size = sum(len(data) for data in openslr.files.values())
    assert librispeech.to_fetch(tmp_path, splits) == size
    librispeech.download(tmp_path, splits)
    assert capsys.readouterr().err.startswith(
        f"librispeech: {decimal(size)} to fetch from {openslr.address}/mirror "
        f"(VQAUDIO_LIBRISPEECH_URL may name a mirror), and as much again or more to unpack, to "
        f"{tmp_path}: dev-clean.tar.gz, dev-clean-2.tar.gz\n"
    )
    for split in ("dev-clean", "dev-clean-2"):
        found = librispeech.utterances(tmp_path, split)
        assert [(u.speaker, u.seconds, u.text) for u in found] == [
            ("251", 0.25, "HELLO"),
            ("84", 0.25, "HELLO"),
        ]
        assert {"84", "251", ".complete"} <= names(tmp_path / "LibriSpeech" / split)
    shown = {name for name in names(tmp_path / "LibriSpeech") if not name.startswith(".")}
    assert shown == {"dev-clean", "dev-clean-2", "LICENSE.TXT"}
    assert not list(tmp_path.rglob("*.gz*"))
    assert len(openslr.requests) == 2

    assert librispeech.to_fetch(tmp_path, splits) == 0
    librispeech.download(tmp_path, splits)
    assert len(openslr.requests) == 2
    assert capsys.readouterr().err == ""


def test_an_interrupted_transfer_goes_on_and_a_corrupted_one_is_made_again(
    openslr: Mirror, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    openslr.answers = [Answer(stop_after=100), Answer(), Answer(damage=True)]
    librispeech.download(tmp_path, ["dev-clean", "dev-clean-2"])
    asked = [request.range for request in openslr.requests]
    assert asked == [None, "bytes=100-", None, None]
    assert "arrived damaged: it is fetched once more" in capsys.readouterr().err
    assert len(librispeech.utterances(tmp_path, "dev-clean-2")) == 2


def test_what_is_not_the_published_archive_is_never_unpacked(
    openslr: Mirror, tmp_path: Path
) -> None:
    openslr.answers = 2 * [Answer(damage=True)]
    with pytest.raises(CorpusError, match="arrived twice with another md5 checksum"):
        librispeech.download(tmp_path, ["dev-clean"])
    assert not (tmp_path / "LibriSpeech/dev-clean").exists()


def test_unpacked_by_hand_is_left_alone(openslr: Mirror, tmp_path: Path) -> None:
    chapter = tmp_path / "LibriSpeech/dev-clean/84/1"
    chapter.mkdir(parents=True)
    (chapter / "84-1-0000.flac").write_bytes(tone())
    librispeech.download(tmp_path, ["dev-clean"])
    assert openslr.requests == []
    assert names(tmp_path / "LibriSpeech") == {"dev-clean"}


def test_an_empty_folder_is_filled(openslr: Mirror, tmp_path: Path) -> None:
    (tmp_path / "LibriSpeech/dev-clean").mkdir(parents=True)
    librispeech.download(tmp_path, ["dev-clean"])
    assert len(librispeech.utterances(tmp_path, "dev-clean")) == 2


@pytest.mark.parametrize("moment", ["_move", "Path.touch"])
def test_killed_before_the_marker_it_is_unpacked_again(
    openslr: Mirror, tmp_path: Path, moment: str
) -> None:
    archive = tmp_path / "LibriSpeech/.dev-clean.tar.gz"
    archive.parent.mkdir()
    archive.write_bytes(openslr.files["/mirror/12/dev-clean.tar.gz"])
    program = f"""
import os
from pathlib import Path
from vqaudio.corpora import download, librispeech
download.{moment} = lambda *_: os._exit(9)
librispeech.download(Path({str(tmp_path)!r}), ["dev-clean"])
"""
    assert subprocess.run([sys.executable, "-c", program], capture_output=True).returncode == 9
    left = names(archive.parent)
    assert ".dev-clean.tar.gz.unpacked" in left
    assert ("dev-clean" in left) == (moment == "Path.touch")

    librispeech.download(tmp_path, ["dev-clean"])
    assert openslr.requests == []
    assert names(archive.parent) <= {"dev-clean", "LICENSE.TXT", ".lock"}
    assert names(tmp_path / "LibriSpeech/dev-clean") == {"84", "251", ".complete"}
    assert len(librispeech.utterances(tmp_path, "dev-clean")) == 2


def test_one_of_two_processes_fetches(
    openslr: Mirror, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ThreadPoolExecutor() as pool:
        with only_one(tmp_path / "LibriSpeech"):
            both = [pool.submit(librispeech.download, tmp_path, ["dev-clean"]) for _ in range(2)]
            time.sleep(0.2)
            assert openslr.requests == []
        for one in both:
            one.result()
    assert len(openslr.requests) == 1
    assert f"waiting for another process to fill {tmp_path}" in capsys.readouterr().err


@pytest.mark.parametrize(("corpus", "folder"), [(libritts, "LibriTTS"), (libritts_r, "LibriTTS_R")])
def test_libritts_is_fetched_and_listed(
    corpus: ModuleType,
    folder: str,
    mirror: Mirror,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chapter = f"{folder}/dev-clean/84/121123/84_121123_"
    sound = tone(sample_rate=24_000, kind="WAV")
    files = {
        f"{chapter}000007_000001.wav": sound,
        f"{chapter}000007_000001.normalized.txt": b"Go.",
        f"{chapter}000007_000001.original.txt": b"GO",
        f"{chapter}000008_000000.wav": sound,
        f"{folder}/LICENSE.txt": b"CC BY 4.0",
    }
    path = serve(mirror, monkeypatch, corpus, "dev-clean", files)
    corpus.download(tmp_path, ["dev-clean"])
    assert [request.path for request in mirror.requests] == [path]
    assert corpus.utterances(tmp_path, "dev-clean") == [
        Utterance(tmp_path / f"{chapter}000007_000001.wav", "84", 0.25, "Go."),
        Utterance(tmp_path / f"{chapter}000008_000000.wav", "84", 0.25, None),
    ]


def test_ljspeech_holds_chapters_out(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = 'LJ001-0001|In 1455|In "fourteen\nLJ010-0001|Held|Held out\n'
    files = {
        "LJSpeech-1.1/metadata.csv": metadata.encode(),
        "LJSpeech-1.1/wavs/LJ001-0001.wav": tone(sample_rate=22_050, kind="WAV"),
        "LJSpeech-1.1/wavs/LJ010-0001.wav": tone(sample_rate=22_050, kind="WAV"),
    }
    serve(mirror, monkeypatch, ljspeech, "train", files)
    ljspeech.download(tmp_path, [])  # small enough to be fetched unasked
    assert len(mirror.requests) == 1
    texts = {split: ljspeech.utterances(tmp_path, split) for split in ljspeech.SPLITS}
    assert {split: [(u.speaker, u.text) for u in found] for split, found in texts.items()} == {
        "train": [("LJ", 'In "fourteen')],
        "validation": [("LJ", "Held out")],
    }
    assert ljspeech.ABOUT.speakers == 1


def test_vctk_takes_the_second_microphone_where_there_is_one(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sounds, sound = "wav48_silence_trimmed", tone(sample_rate=48_000)
    files = {
        f"{sounds}/p225/p225_001_mic1.flac": sound,
        f"{sounds}/p225/p225_001_mic2.flac": sound,
        "txt/p225/p225_001.txt": b"Please call Stella.\n",
        f"{sounds}/p315/p315_001_mic1.flac": sound,
        f"{sounds}/p226/p226_001_mic2.flac": sound,
        f"{sounds}/p232/p232_001_mic2.flac": sound,
        "license.txt": b"CC BY 4.0",
    }
    serve(mirror, monkeypatch, vctk, "train", files)
    vctk.download(tmp_path, ["train"])
    home = tmp_path / "VCTK-Corpus-0.92"
    assert {"license.txt", "txt", sounds, ".complete"} <= names(home)
    assert vctk.utterances(tmp_path, "train") == [
        Utterance(home / sounds / "p225/p225_001_mic2.flac", "p225", 0.25, "Please call Stella."),
        Utterance(home / sounds / "p315/p315_001_mic1.flac", "p315", 0.25, None),
    ]
    assert [u.speaker for u in vctk.utterances(tmp_path, "validation")] == ["p226"]
    assert [u.speaker for u in vctk.utterances(tmp_path, "test")] == ["p232"]
    assert not vctk.VALIDATION_SPEAKERS & vctk.TEST_SPEAKERS


def test_speechocean762_is_fetched_and_listed(
    mirror: Mirror,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    files = {"speechocean762/README.md": b"free"}
    for split, speaker in (("train", "0001"), ("test", "0003")):
        name = f"{speaker[1:]}10011"
        path = f"WAVE/SPEAKER{speaker}/{name}.WAV"
        files[f"speechocean762/{path}"] = tone(kind="WAV")
        files[f"speechocean762/{split}/wav.scp"] = f"{name}\t{path}\n".encode()
        files[f"speechocean762/{split}/text"] = f"{name}\tWE CALL IT BEAR\n".encode()
        files[f"speechocean762/{split}/utt2spk"] = f"{name}\t{speaker}\n".encode()
    serve(mirror, monkeypatch, speechocean762, "train", files)
    speechocean762.download(tmp_path, ["train"])
    assert "nobody publishes a checksum of speechocean762.tar.gz" in capsys.readouterr().err
    (found,) = speechocean762.utterances(tmp_path, "train")
    wav = tmp_path / "speechocean762/WAVE/SPEAKER0001/00110011.WAV"
    assert found == Utterance(wav, "0001", 0.25, "WE CALL IT BEAR")
    assert [u.speaker for u in speechocean762.utterances(tmp_path, "test")] == ["0003"]
    assert len(mirror.requests) == 1


@pytest.mark.parametrize("corpus", ARCHIVED)
def test_the_official_addresses_sizes_and_checksums_are_complete(corpus: ModuleType) -> None:
    for archive in corpus.SOURCE.archives.values():
        assert archive.num_bytes > 1e8
        assert archive.checksum is None or archive.checksum.startswith(("md5:", "sha256:"))
        digits = (archive.checksum or "md5:" + 32 * "0").partition(":")[2]
        assert len(digits) in (32, 64)
        assert int(digits, 16) >= 0
        assert (archive.url or corpus.SOURCE.address).startswith("https://")
        assert corpus.to_fetch(Path("nowhere"), [corpus.SPLITS[0]]) > 0
    assert CORPORA[corpus.SOURCE.name] is corpus


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit code of `vqaudio download ARGUMENTS`."""
    monkeypatch.setattr(sys, "argv", ["vqaudio", "download", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    assert isinstance(end.value.code, int)
    return end.value.code


def test_the_command_fetches_the_splits_that_are_named(
    openslr: Mirror,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    splits = ("--split", "dev-clean", "--split", "dev-clean-2")
    assert run(monkeypatch, "librispeech", str(tmp_path), *splits) == 0
    assert capsys.readouterr().out == f"librispeech: dev-clean, dev-clean-2 in {tmp_path}\n"
    assert len(librispeech.utterances(tmp_path, "dev-clean-2")) == 2


@pytest.mark.parametrize("name", ["librispeech", "libritts", "libritts-r"])
def test_the_command_does_not_fetch_a_large_corpus_unasked(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, name, str(tmp_path)) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"vqaudio: {name} is large: name the splits that you want, of train-")
    assert " GB)" in said
    assert said.count("\n") == 1


def test_the_command_takes_all_splits_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "debian-speech").mkdir()
    (tmp_path / "debian-speech/utterances.jsonl").touch()
    assert run(monkeypatch, "debian-speech", str(tmp_path)) == 0
    assert capsys.readouterr().out == f"debian-speech: train, validation in {tmp_path}\n"


def test_the_command_names_the_corpora_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "libri", str(tmp_path)) == 2
    assert "no corpus 'libri': choose from" in capsys.readouterr().err
    assert run(monkeypatch, "librispeech", str(tmp_path), "--split", "dev") == 1
    assert "librispeech has no split 'dev': choose from train-clean-100" in capsys.readouterr().err


def test_the_command_lists_the_corpora(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(CORPORA)
    (line,) = [line for line in lines if line.startswith("ljspeech ")]
    assert line.endswith("22.05 kHz; 24 h; 1 speaker; 2.7 GB to fetch; public domain")


def test_a_folder_that_cannot_be_written_is_one_sentence(openslr: Mirror, tmp_path: Path) -> None:
    (tmp_path / "LibriSpeech").touch()
    with pytest.raises(CorpusError, match=r"cannot write .*LibriSpeech: File exists; make room or"):
        librispeech.download(tmp_path, ["dev-clean"])
    assert os.listdir(tmp_path) == ["LibriSpeech"]
