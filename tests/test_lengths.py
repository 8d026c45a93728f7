"""The lengths of sound files, remembered beside them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from vqaudio import audio
from vqaudio.corpora import folder, lengths, librispeech
from vqaudio.corpora.lengths import LISTING
from vqaudio.errors import VqaudioError


def write(path: Path, seconds: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(round(seconds * 8000)), 8000)
    return path


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are opened to learn their lengths, in order."""
    names: list[str] = []
    info = audio.info

    def noted(path: Path) -> audio.AudioInfo:
        names.append(path.name)
        return info(path)

    monkeypatch.setattr(lengths.audio, "info", noted)
    return names


def test_a_file_is_opened_once(tmp_path: Path, opened: list[str]) -> None:
    paths = [write(tmp_path / "a/1.wav", 1.0), write(tmp_path / "b/2.wav", 2.0)]
    listing = tmp_path / LISTING
    first = lengths.lengths(paths, listing)
    assert first.seconds == dict(zip(paths, (1.0, 2.0), strict=True))
    assert not first.faults
    assert opened == ["1.wav", "2.wav"]
    assert lengths.lengths(paths, listing) == first
    assert len(opened) == 2


def test_added_removed_and_changed_files_are_noticed(tmp_path: Path, opened: list[str]) -> None:
    paths = [write(tmp_path / f"{name}.wav", 1.0) for name in "abc"]
    listing = tmp_path / LISTING
    lengths.lengths(paths, listing)
    opened.clear()

    write(paths[1], 2.0)  # another size
    added = write(tmp_path / "d.wav", 0.5)
    found = lengths.lengths([paths[1], paths[2], added], listing)
    assert found.seconds == {paths[1]: 2.0, paths[2]: 1.0, added: 0.5}
    assert opened == ["b.wav", "d.wav"]
    assert set(json.loads(listing.read_text())["files"]) == {"b.wav", "c.wav", "d.wav"}

    opened.clear()
    state = paths[2].stat()
    os.utime(paths[2], ns=(state.st_atime_ns, state.st_mtime_ns + 1))  # another time
    lengths.lengths([paths[1], paths[2], added], listing)
    assert opened == ["c.wav"]


def test_a_corpus_may_move(tmp_path: Path, opened: list[str]) -> None:
    write(tmp_path / "here/anna/1.wav", 1.0)
    folder.utterances(tmp_path / "here", "all")
    (tmp_path / "here").rename(tmp_path / "there")
    opened.clear()
    (found,) = folder.utterances(tmp_path / "there", "all")
    assert (found.path, found.seconds) == (tmp_path / "there/anna/1.wav", 1.0)
    assert opened == []


def test_a_relative_folder_is_the_same_folder(
    tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "here/anna/1.wav", 1.0)
    folder.utterances(tmp_path / "here", "all")
    opened.clear()
    monkeypatch.chdir(tmp_path)
    (found,) = folder.utterances(Path("here"), "all")
    assert found.path == Path("here/anna/1.wav")
    assert opened == []


def test_files_without_a_length_are_asked_again(tmp_path: Path, opened: list[str]) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF?")
    gone = tmp_path / "gone.wav"
    for _ in range(2):
        found = lengths.lengths([path, gone], tmp_path / LISTING)
        assert found.seconds == {}
        assert set(found.faults) == {path, gone}
    assert opened == ["a.wav", "a.wav"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[1]",
        b"\xff",
        b'{"format_version": 0, "files": {"a.wav": [1, 2, 3]}}',
        b'{"format_version": 1, "files": {"a.wav": [1, 2]}}',
        b'{"format_version": 1, "files": 3}',
    ],
)
def test_a_damaged_listing_is_written_anew(
    tmp_path: Path, content: bytes, opened: list[str]
) -> None:
    path, listing = write(tmp_path / "a.wav", 1.0), tmp_path / LISTING
    listing.write_bytes(content)
    for _ in range(2):
        assert lengths.lengths([path], listing).seconds == {path: 1.0}
    assert opened == ["a.wav"]


def test_a_folder_that_cannot_be_written_is_no_error(
    tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise VqaudioError(f"cannot write {path}")

    monkeypatch.setattr(lengths, "atomic", refuse)
    path = write(tmp_path / "a.wav", 1.0)
    for _ in range(2):
        assert lengths.lengths([path], tmp_path / LISTING).seconds == {path: 1.0}
    assert opened == ["a.wav", "a.wav"]
    assert os.listdir(tmp_path) == ["a.wav"]


def test_what_was_read_before_an_interrupt_is_kept(
    tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [write(tmp_path / f"{name}.wav", 1.0) for name in "ab"]
    measure = lengths._measure

    def interrupted(path: Path) -> float:
        if path == paths[1]:
            raise KeyboardInterrupt
        return measure(path)

    with monkeypatch.context() as context:
        context.setattr(lengths, "_measure", interrupted)
        with pytest.raises(KeyboardInterrupt):
            lengths.lengths(paths, tmp_path / LISTING)
    lengths.lengths(paths, tmp_path / LISTING)
    assert opened == ["a.wav", "b.wav"]


def test_librispeech_opens_nothing_at_the_second_start(tmp_path: Path, opened: list[str]) -> None:
    chapter = tmp_path / "LibriSpeech/dev-clean/84/1"
    write(chapter / "84-1-0000.flac", 1.0)
    (chapter / "84-1.trans.txt").write_text("84-1-0000 YES\n")
    first = librispeech.utterances(tmp_path, "dev-clean")
    (chapter / "84-1.trans.txt").write_text("84-1-0000 NO\n")  # texts are always read
    (again,) = librispeech.utterances(tmp_path, "dev-clean")
    assert (first[0].seconds, first[0].text) == (1.0, "YES")
    assert (again.seconds, again.text) == (1.0, "NO")
    assert opened == ["84-1-0000.flac"]
