"""Corpora that are repositories of GitHub, by their commits, in miniatures of their layouts."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
from mirror import Mirror, names, pack, running_mirror, tone

from vqaudio.corpora import CORPORA, audiomnist, fsdd, picovoice
from vqaudio.corpora.archives import Archive, Source
from vqaudio.errors import CorpusError


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    with running_mirror(monkeypatch) as server:
        yield server


def serve(mirror: Mirror, archive: Archive, files: Mapping[str, bytes], num_files: int) -> Archive:
    """Put `files` in the place of the repository; returns the archive with their number."""
    repository, _, commit = archive.file.removesuffix(".tar.gz").partition("/archive/")
    top = f"{repository.rpartition('/')[2]}-{commit}"
    data = pack({f"{top}/{name}": content for name, content in files.items()}, archive.file)
    mirror.files[f"/{archive.file}"] = data
    return archive._replace(num_bytes=len(data), num_files=num_files)


def serve_one(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch, corpus: ModuleType, files: Mapping[str, bytes]
) -> None:
    """For a corpus of one repository; all sound files among `files` belong to it."""
    sounds = sum(name.endswith(".wav") for name in files)
    archive = serve(mirror, corpus.ARCHIVE, files, sounds)
    for split in corpus.SPLITS:
        monkeypatch.setitem(corpus.SOURCE.archives, split, archive)
    monkeypatch.setenv(corpus.SOURCE.mirror, mirror.address)


def fsdd_files() -> dict[str, bytes]:
    sound = tone(sample_rate=8000, kind="WAV")
    stems = ("0_theo_0", "7_theo_4", "7_theo_5", "7_theo_10", "3_george_7", "3_george_12")
    files = {f"recordings/{stem}.wav": sound for stem in stems}
    return files | {"README.md": b"free", "utils/fsdd.py": b"import this"}


def test_fsdd_is_fetched_and_listed_in_its_official_splits(
    mirror: Mirror,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    serve_one(mirror, monkeypatch, fsdd, fsdd_files())
    fsdd.download(tmp_path, [])
    assert "nobody publishes a checksum of" in capsys.readouterr().err
    assert names(tmp_path / "fsdd") == {".complete", ".lock", "README.md", "recordings", "utils"}
    listed = {split: fsdd.utterances(tmp_path, split) for split in fsdd.SPLITS}
    assert {split: [u.path.stem for u in found] for split, found in listed.items()} == {
        "train": ["3_george_7", "3_george_12", "7_theo_5", "7_theo_10"],
        "test": ["0_theo_0", "7_theo_4"],
    }
    first = listed["test"][0]
    assert (first.speaker, first.seconds, first.text) == ("theo", 0.25, "zero")
    fsdd.download(tmp_path, [])
    assert len(mirror.requests) == 1


def test_a_repository_with_files_missing_is_refused(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_one(mirror, monkeypatch, fsdd, fsdd_files())
    whole = fsdd.SOURCE.archives["train"]
    for split in fsdd.SPLITS:
        monkeypatch.setitem(fsdd.SOURCE.archives, split, whole._replace(num_files=3000))
    with pytest.raises(CorpusError, match=r"is damaged \(6 files in place of 3000\): remove it"):
        fsdd.download(tmp_path, [])
    assert not (tmp_path / "fsdd/recordings").exists()
    with pytest.raises(CorpusError, match=r"has no recordings/\*\.wav: run vqaudio download fsdd"):
        fsdd.utterances(tmp_path, "train")


def test_another_commit_than_was_asked_for_is_refused(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_one(mirror, monkeypatch, fsdd, fsdd_files())
    address = f"/{fsdd.ARCHIVE.file}"
    other = {f"free-spoken-digit-dataset-0123456/{n}": data for n, data in fsdd_files().items()}
    mirror.files[address] = pack(other, address)
    with pytest.raises(CorpusError, match=r"is damaged \(0 files in place of 6\)"):
        fsdd.download(tmp_path, [])


def test_audiomnist_splits_by_speaker(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = tone(sample_rate=48_000, kind="WAV")
    stems = ("01/9_01_2", "01/9_01_10", "02/0_02_0", "12/4_12_49", "26/5_26_7")
    files = {f"data/{stem}.wav": sound for stem in stems} | {"data/audioMNIST_meta.txt": b"{}"}
    serve_one(mirror, monkeypatch, audiomnist, files)
    audiomnist.download(tmp_path, ["test"])
    listed = {s: audiomnist.utterances(tmp_path, s) for s in audiomnist.SPLITS}
    assert {s: [(u.speaker, u.path.stem, u.text) for u in us] for s, us in listed.items()} == {
        "train": [("01", "9_01_2", "nine"), ("01", "9_01_10", "nine"), ("02", "0_02_0", "zero")],
        "validation": [("12", "4_12_49", "four")],
        "test": [("26", "5_26_7", "five")],
    }
    assert not audiomnist.TEST_SPEAKERS & audiomnist.VALIDATION_SPEAKERS
    assert len(audiomnist.TEST_SPEAKERS) == len(audiomnist.VALIDATION_SPEAKERS) == 12


def serve_picovoice(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch, damaged: bytes | None = None
) -> None:
    """Both repositories, with what is not wanted beside the recordings."""
    sound = tone(kind="WAV")
    wake_words = {
        "audio/alexa/0.flac": tone(),
        "audio/smart mirror/a.wav": sound,
        "audio/multiple_keywords.wav": sound,
        "benchmark.py": b"import this",
    }
    intents = {f"data/speech/clean/{n}.wav": sound for n in range(3)}
    if damaged is not None:
        intents["data/speech/clean/1.wav"] = damaged
    archives = (
        serve(mirror, picovoice.WAKE_WORD, wake_words, 2),
        serve(mirror, picovoice.INTENT, intents | {"data/noise/cafe.wav": sound}, 3),
    )
    sources = tuple(
        replace(source, archives=dict.fromkeys(picovoice.SPLITS, archive))
        for source, archive in zip(picovoice.SOURCES, archives, strict=True)
    )
    monkeypatch.setattr(picovoice, "SOURCES", sources)
    monkeypatch.setenv("VQAUDIO_PICOVOICE_URL", mirror.address)


def test_picovoice_is_two_repositories_and_nothing_but_their_speech(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_picovoice(mirror, monkeypatch)
    size = sum(len(data) for data in mirror.files.values())
    assert picovoice.to_fetch(tmp_path, ["train", "validation"]) == size
    picovoice.download(tmp_path, ["train"])
    assert len(mirror.requests) == 2
    assert picovoice.to_fetch(tmp_path, []) == 0
    home = tmp_path / "picovoice"
    assert names(home / "intent") == {".complete", "0.wav", "1.wav", "2.wav"}
    found = picovoice.utterances(tmp_path, "all")
    assert [(u.path.relative_to(home).as_posix(), u.text) for u in found] == [
        ("wake-word/alexa/0.flac", "alexa"),
        ("wake-word/smart mirror/a.wav", "smart mirror"),
        ("intent/0.wav", None),
        ("intent/1.wav", None),
        ("intent/2.wav", None),
    ]
    assert len({u.speaker for u in found}) == 5
    parts = [picovoice.utterances(tmp_path, split) for split in ("train", "validation")]
    assert [len(part) for part in parts] == [4, 1]
    picovoice.download(tmp_path, [])
    assert len(mirror.requests) == 2


def test_picovoice_leaves_out_what_cannot_be_read(
    mirror: Mirror,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    serve_picovoice(mirror, monkeypatch, damaged=b"no sound")
    picovoice.download(tmp_path, [])
    with caplog.at_level(logging.WARNING):
        found = picovoice.utterances(tmp_path, "all")
    assert len(found) == 4
    assert "1 of 5 recordings below" in caplog.text
    for utterance in found:
        utterance.path.write_bytes(b"no sound either")
    with pytest.raises(CorpusError, match=r"holds no sound that can be read: unpack the archives"):
        picovoice.utterances(tmp_path, "all")


@pytest.mark.parametrize("corpus", [fsdd, audiomnist, picovoice])
def test_the_addresses_are_complete(corpus: ModuleType, tmp_path: Path) -> None:
    name = corpus.__name__.rpartition(".")[2]
    sources: tuple[Source, ...] = getattr(corpus, "SOURCES", None) or (corpus.SOURCE,)
    for source in sources:
        assert (source.name, source.address) == (name, "https://github.com")
        for archive in source.archives.values():
            commit = archive.file.removesuffix(".tar.gz").rpartition("/")[2]
            assert len(bytes.fromhex(commit)) == 20
            assert archive.num_files
    assert CORPORA[name] is corpus
    assert corpus.to_fetch(tmp_path, [corpus.SPLITS[0]]) == corpus.ABOUT.num_bytes
    with pytest.raises(CorpusError, match=f"{name} has no split 'dev': choose from train, "):
        corpus.to_fetch(tmp_path, ["dev"])
    with pytest.raises(CorpusError, match=f"run vqaudio download {name} "):
        corpus.utterances(tmp_path, corpus.SPLITS[0])
