"""Downloads from a server on this machine that breaks, lies and refuses as real ones do."""

from __future__ import annotations

import gzip
import hashlib
import io
import socket
import struct
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
import soundfile

from vqaudio.cli import main
from vqaudio.corpora import download, librispeech
from vqaudio.corpora.download import fetch, only_one, unpack
from vqaudio.errors import CorpusError

DATA = np.random.default_rng(0).bytes(300_000)
FAR = 200_000


class Answer(NamedTuple):
    """What the server does with one request, in place of what it should do."""

    status: int | None = None
    """An error, with no body."""
    stop_after: int | None = None
    """Bytes of the body, then the connection is closed."""
    reset: bool = False
    """The connection is closed as by a crash."""
    ranges: bool = True
    """The server knows Range."""
    shift: int = 0
    """Bytes between the start that was asked for and the one that is sent."""
    damage: bool = False
    """The first byte is another."""


class Request(NamedTuple):
    """What was asked for, and how many bytes of the body were sent."""

    path: str
    range: str | None
    sent: int


class Mirror(ThreadingHTTPServer):
    """Serves `files`; `answers` holds what to do with the next requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.files: dict[str, bytes] = {}
        self.answers: list[Answer] = []
        self.requests: list[Request] = []


class Handler(BaseHTTPRequestHandler):
    server: Mirror

    def do_GET(self) -> None:
        answer = self.server.answers.pop(0) if self.server.answers else Answer()
        asked = self.headers.get("Range") if answer.ranges else None
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        file = self.server.files.get(self.path, b"")
        body = file[start + answer.shift :]
        error = answer.status or (404 if not file else 416 if start >= len(file) else None)
        sent = 0 if error else len(body[: answer.stop_after])
        # Noted before it is sent: the client goes on before this thread does.
        self.server.requests.append(Request(self.path, self.headers.get("Range"), sent))
        if error:
            self.send_error(error)
            return
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(body)))
        if asked:
            span = f"bytes {start + answer.shift}-{len(file) - 1}/{len(file)}"
            self.send_header("Content-Range", span)
        self.end_headers()
        if answer.damage:
            body = bytes([body[0] ^ 1]) + body[1:]
        self.wfile.write(body[:sent])
        if answer.reset:
            time.sleep(0.05)  # for the client to read
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """A server that has /file; pauses are short, and a proxy of the user's stays out of it."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download, "PAUSES", (0.01, 0.02))
    monkeypatch.setattr(download, "TIMEOUT", 5.0)
    with Mirror() as server:
        server.files["/file"] = DATA
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def md5(data: bytes) -> str:
    return f"md5:{hashlib.md5(data).hexdigest()}"


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("checksum", [md5(DATA), f"sha256:{hashlib.sha256(DATA).hexdigest()}"])
def test_a_file_arrives_once(
    mirror: Mirror, tmp_path: Path, checksum: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        fetch(f"{mirror.address}/file", tmp_path / "file", checksum=checksum)
    assert (tmp_path / "file").read_bytes() == DATA
    assert names(tmp_path) == {"file"}
    assert mirror.requests == [Request("/file", None, len(DATA))]
    assert capsys.readouterr().err.startswith(f"fetching {mirror.address}/file: 300.0 kB\n")


def test_a_broken_transfer_goes_on_where_it_stopped(
    mirror: Mirror, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mirror.answers = [Answer(stop_after=FAR)]
    fetch(f"{mirror.address}/file", tmp_path / "file", checksum=md5(DATA))
    assert (tmp_path / "file").read_bytes() == DATA
    assert mirror.requests[1:] == [Request("/file", f"bytes={FAR}-", len(DATA) - FAR)]
    said = capsys.readouterr().err
    assert "/file: the connection ended 100,000 bytes too soon; trying again in 0.01 s" in said
    assert "/file: 100.0 kB (200.0 kB are here already)" in said


def test_what_came_before_a_crash_of_the_line_is_not_fetched_again(
    mirror: Mirror, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mirror.answers = [Answer(stop_after=FAR, reset=True)]
    fetch(f"{mirror.address}/file", tmp_path / "file", checksum=md5(DATA))
    assert (tmp_path / "file").read_bytes() == DATA
    start = len(DATA) - mirror.requests[1].sent
    assert 0 < start <= FAR  # a crash may lose what was on its way
    assert mirror.requests[1].range == f"bytes={start}-"
    assert "Connection reset by peer; trying again" in capsys.readouterr().err


def test_a_transfer_that_was_given_up_goes_on_at_the_next_call(
    mirror: Mirror, tmp_path: Path
) -> None:
    mirror.answers = [Answer(stop_after=FAR)] + 3 * [Answer(status=503)]
    with pytest.raises(CorpusError, match=r"the server said 503 .*; start again later"):
        fetch(f"{mirror.address}/file", tmp_path / "file", checksum=md5(DATA))
    assert names(tmp_path) == {"file.part"}
    assert len(mirror.requests) == 4
    fetch(f"{mirror.address}/file", tmp_path / "file", checksum=md5(DATA))
    assert (tmp_path / "file").read_bytes() == DATA
    assert mirror.requests[-1] == Request("/file", f"bytes={FAR}-", len(DATA) - FAR)


def test_a_line_that_breaks_often_still_brings_the_file(mirror: Mirror, tmp_path: Path) -> None:
    mirror.answers = 9 * [Answer(stop_after=30_000)]
    fetch(f"{mirror.address}/file", tmp_path / "file", checksum=md5(DATA))
    assert (tmp_path / "file").read_bytes() == DATA
    assert len(mirror.requests) == 10
    assert sum(request.sent for request in mirror.requests) == len(DATA)


def test_a_server_without_ranges_sends_everything_again(mirror: Mirror, tmp_path: Path) -> None:
    mirror.answers = [Answer(stop_after=FAR), Answer(ranges=False)]
    fetch(f"{mirror.address}/file", tmp_path / "file", checksum=md5(DATA))
    assert (tmp_path / "file").read_bytes() == DATA
    assert [request.sent for request in mirror.requests] == [FAR, len(DATA)]


def test_a_server_without_ranges_that_always_breaks_is_given_up(
    mirror: Mirror, tmp_path: Path
) -> None:
    mirror.answers = 20 * [Answer(stop_after=FAR, ranges=False)]
    with pytest.raises(CorpusError, match="ended 100,000 bytes too soon"):
        fetch(f"{mirror.address}/file", tmp_path / "file", checksum=md5(DATA))
    assert len(mirror.requests) == 4


def test_another_range_than_was_asked_for_is_not_appended(
    mirror: Mirror, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mirror.answers = [Answer(stop_after=FAR), Answer(shift=-7)]
    fetch(f"{mirror.address}/file", tmp_path / "file", checksum=md5(DATA))
    assert (tmp_path / "file").read_bytes() == DATA
    assert [request.range for request in mirror.requests] == [None, f"bytes={FAR}-", None]
    assert "the server sent another part than was asked for" in capsys.readouterr().err


def test_a_file_that_is_all_there_is_only_checked(mirror: Mirror, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(DATA)
    fetch(f"{mirror.address}/file", tmp_path / "file", checksum=md5(DATA))
    assert names(tmp_path) == {"file"}
    assert mirror.requests == [Request("/file", f"bytes={len(DATA)}-", 0)]


def test_a_damaged_transfer_is_made_once_more(
    mirror: Mirror, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mirror.answers = [Answer(damage=True)]
    fetch(f"{mirror.address}/file", tmp_path / "file", checksum=md5(DATA))
    assert (tmp_path / "file").read_bytes() == DATA
    assert [request.range for request in mirror.requests] == [None, None]
    assert "arrived damaged: it is fetched once more" in capsys.readouterr().err


def test_the_rest_of_another_file_is_not_kept(mirror: Mirror, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(bytes(FAR))
    fetch(f"{mirror.address}/file", tmp_path / "file", checksum=md5(DATA))
    assert (tmp_path / "file").read_bytes() == DATA
    assert [request.range for request in mirror.requests] == [f"bytes={FAR}-", None]


def test_what_arrives_damaged_twice_is_refused(mirror: Mirror, tmp_path: Path) -> None:
    mirror.answers = 2 * [Answer(damage=True)]
    with pytest.raises(CorpusError, match="arrived twice with another md5 checksum than is publis"):
        fetch(f"{mirror.address}/file", tmp_path / "file", checksum=md5(DATA))
    assert names(tmp_path) == set()
    assert len(mirror.requests) == 2


@pytest.mark.parametrize("status", [500, 503, 429])
def test_errors_that_may_pass_are_waited_for(mirror: Mirror, tmp_path: Path, status: int) -> None:
    mirror.answers = 2 * [Answer(status=status)]
    fetch(f"{mirror.address}/file", tmp_path / "file", checksum=md5(DATA))
    assert len(mirror.requests) == 3


def test_a_file_that_is_not_there_is_not_asked_for_again(mirror: Mirror, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="none: the server said 404 Not Found; check the address"):
        fetch(f"{mirror.address}/none", tmp_path / "file", checksum=md5(DATA))
    assert len(mirror.requests) == 1


def test_a_server_that_is_not_there(mirror: Mirror, tmp_path: Path) -> None:
    with socket.socket() as bound:  # and not listening
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/file"
        with pytest.raises(CorpusError, match="Connection refused; start again later"):
            fetch(url, tmp_path / "file", checksum=md5(DATA))
    with pytest.raises(CorpusError, match="must begin with https:// or http://"):
        fetch("file:///etc/passwd", tmp_path / "file", checksum=md5(DATA))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the kernel has no /dev/full")
def test_a_full_disk_is_one_sentence(mirror: Mirror, tmp_path: Path) -> None:
    (tmp_path / "file.part").symlink_to("/dev/full")
    with pytest.raises(CorpusError, match=r"cannot write .*: No space left on device; make room"):
        fetch(f"{mirror.address}/file", tmp_path / "file", checksum=md5(DATA))


def test_a_disk_that_would_be_filled_is_left_alone(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = SimpleNamespace(total=10**9, free=299_999)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: disk)
    with pytest.raises(CorpusError, match=r"has room for 300\.0 kB and file needs 300\.0 kB more"):
        fetch(f"{mirror.address}/file", tmp_path / "file", checksum=md5(DATA))
    (tmp_path / "file.part").write_bytes(DATA[:FAR])
    fetch(f"{mirror.address}/file", tmp_path / "file", checksum=md5(DATA))


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def tar_gz(members: dict[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for info, data in members.items():
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@pytest.fixture
def nest(tmp_path: Path) -> Path:
    """A folder with nothing in it, in a folder with nothing else in it."""
    nest = tmp_path / "outside" / "nest"
    nest.mkdir(parents=True)
    return nest


def test_an_archive_is_unpacked_and_the_marker_written_last(nest: Path) -> None:
    inside = {member("corpus/licence"): b"free", member("corpus/split/a"): b"sound"}
    (nest / "a.tar.gz").write_bytes(tar_gz(inside))
    (nest / "corpus/other").mkdir(parents=True)
    (nest / "a.tar.gz.unpacked/corpus/split/half").mkdir(parents=True)  # of a run that was killed
    unpack(nest / "a.tar.gz", nest, marker=nest / "corpus/split/.complete")
    assert names(nest) == {"a.tar.gz", "corpus"}
    assert names(nest / "corpus") == {"licence", "other", "split"}
    assert names(nest / "corpus/split") == {"a", ".complete"}
    assert (nest / "corpus/split/a").read_bytes() == b"sound"


@pytest.mark.parametrize(
    "evil",
    [
        [member("../evil")],
        [member("corpus/../../../evil")],
        [member("corpus/link", tarfile.SYMTYPE, "/etc")],
        [member("corpus/link", tarfile.SYMTYPE, "../../.."), member("corpus/link/evil")],
        [member("corpus/link", tarfile.LNKTYPE, "../../secret")],
        [member("corpus/pipe", tarfile.FIFOTYPE)],
        [member("corpus/device", tarfile.CHRTYPE)],
    ],
    ids=lambda evil: evil[-1].name,
)
def test_an_archive_that_would_write_elsewhere_is_refused(
    nest: Path, evil: list[tarfile.TarInfo]
) -> None:
    (nest.parent / "secret").touch()
    archive = nest / "a.tar.gz"
    archive.write_bytes(tar_gz({member("corpus/a"): b"sound"} | dict.fromkeys(evil, b"")))
    with pytest.raises(CorpusError, match=r"a\.tar\.gz is not unpacked, for it would write elsewh"):
        unpack(archive, nest, marker=nest / "marker")
    assert names(nest) == {"a.tar.gz"}
    assert names(nest.parent) == {"nest", "secret"}


@pytest.mark.parametrize("data", [b"no archive", gzip.compress(b"no tar"), tar_gz({})[:20]])
def test_a_damaged_archive_is_refused(nest: Path, data: bytes) -> None:
    (nest / "a.tar.gz").write_bytes(data)
    with pytest.raises(
        CorpusError, match=r"a\.tar\.gz is damaged \(.+\): remove it, and start again"
    ):
        unpack(nest / "a.tar.gz", nest, marker=nest / "marker")
    assert names(nest) == {"a.tar.gz"}


def test_an_archive_that_was_cut_is_refused(nest: Path) -> None:
    data = tar_gz({member("corpus/a"): DATA})
    (nest / "a.tar.gz").write_bytes(data[: len(data) // 2])
    with pytest.raises(CorpusError, match="is damaged"):
        unpack(nest / "a.tar.gz", nest, marker=nest / "marker")
    assert names(nest) == {"a.tar.gz"}


def test_a_python_that_cannot_unpack_safely_does_not(
    nest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (nest / "a.tar.gz").write_bytes(tar_gz({member("a"): b""}))
    monkeypatch.delattr(tarfile, "data_filter")
    with pytest.raises(CorpusError, match=r"use Python 3\.10\.12, 3\.11\.4, 3\.12 or later"):
        unpack(nest / "a.tar.gz", nest, marker=nest / "marker")
    assert names(nest) == {"a.tar.gz"}


def flac(hertz: float) -> bytes:
    buffer = io.BytesIO()
    tone = 0.1 * np.sin(2 * np.pi * hertz * np.arange(4000) / 16_000)
    soundfile.write(buffer, tone, 16_000, format="FLAC")
    return buffer.getvalue()


def libri_archive(split: str) -> bytes:
    """As at openslr.org: two speakers, a chapter each, and the texts beside the splits."""
    files = {"LibriSpeech/LICENSE.TXT": b"CC BY 4.0\n"}
    for speaker in ("84", "251"):
        chapter = f"LibriSpeech/{split}/{speaker}/1"
        files[f"{chapter}/{speaker}-1-0000.flac"] = flac(int(speaker))
        files[f"{chapter}/{speaker}-1.trans.txt"] = f"{speaker}-1-0000 HELLO\n".encode()
    return tar_gz({member(name): data for name, data in files.items()})


@pytest.fixture
def openslr(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> Mirror:
    """Has dev-clean of LibriSpeech and dev-clean-2 of Mini LibriSpeech."""
    monkeypatch.setenv(librispeech.MIRROR, f"{mirror.address}/resources/")
    for resource, split in ((12, "dev-clean"), (31, "dev-clean-2")):
        data = libri_archive(split)
        mirror.files[f"/resources/{resource}/{split}.tar.gz"] = data
        digest = hashlib.md5(data).hexdigest()
        archive = librispeech.Archive(resource, len(data), digest)
        monkeypatch.setitem(librispeech.ARCHIVES, split, archive)
    return mirror


def test_librispeech_is_fetched_unpacked_and_listed(
    openslr: Mirror, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    librispeech.download(tmp_path, ["dev-clean", "dev-clean-2", "dev-clean"])
    size = sum(len(data) for path, data in openslr.files.items() if path != "/file")
    assert capsys.readouterr().err.startswith(
        f"LibriSpeech dev-clean, dev-clean-2: {size / 1000:.1f} kB to fetch from {openslr.address}"
    )
    for split in ("dev-clean", "dev-clean-2"):
        found = librispeech.utterances(tmp_path, split)
        assert [(u.speaker, u.seconds, u.text) for u in found] == [
            ("251", 0.25, "HELLO"),
            ("84", 0.25, "HELLO"),
        ]
        assert names(tmp_path / "LibriSpeech" / split) == {"84", "251", ".complete"}
    shown = {name for name in names(tmp_path / "LibriSpeech") if not name.startswith(".")}
    assert shown == {"dev-clean", "dev-clean-2", "LICENSE.TXT"}
    assert not list(tmp_path.rglob("*.gz*"))
    assert len(openslr.requests) == 2

    librispeech.download(tmp_path, ["dev-clean", "dev-clean-2"])
    assert len(openslr.requests) == 2
    assert capsys.readouterr().err == ""


def test_librispeech_unpacked_by_hand_is_left_alone(openslr: Mirror, tmp_path: Path) -> None:
    chapter = tmp_path / "LibriSpeech/dev-clean/84/1"
    chapter.mkdir(parents=True)
    (chapter / "84-1-0000.flac").write_bytes(flac(84))
    librispeech.download(tmp_path, ["dev-clean"])
    assert openslr.requests == []
    assert names(tmp_path / "LibriSpeech") == {"dev-clean"}


def test_librispeech_with_an_empty_folder_is_fetched(openslr: Mirror, tmp_path: Path) -> None:
    (tmp_path / "LibriSpeech/dev-clean").mkdir(parents=True)
    librispeech.download(tmp_path, ["dev-clean"])
    assert len(librispeech.utterances(tmp_path, "dev-clean")) == 2


@pytest.mark.parametrize("moment", ["_move", "Path.touch"])
def test_librispeech_killed_before_the_marker_is_unpacked_again(
    openslr: Mirror, tmp_path: Path, moment: str
) -> None:
    archive = tmp_path / "LibriSpeech/.dev-clean.tar.gz"
    archive.parent.mkdir()
    archive.write_bytes(openslr.files["/resources/12/dev-clean.tar.gz"])
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


def test_librispeech_is_fetched_by_one_of_two_processes(
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


def test_the_command_does_not_fetch_a_large_corpus_unasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "librispeech", str(tmp_path)) == 1
    said = capsys.readouterr().err
    assert said.startswith(
        "vqaudio: librispeech is large: name the splits that you want, of train-"
    )
    assert "train-other-500 (30.6 GB)" in said
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
