"""Downloads from a server on this machine that breaks, lies and refuses as real ones do."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from mirror import Answer, Mirror, Request, names, running_mirror

from vqaudio.corpora import download
from vqaudio.corpora.download import fetch
from vqaudio.errors import CorpusError

DATA = np.random.default_rng(0).bytes(300_000)
FAR = 200_000


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """A server that has /file."""
    with running_mirror(monkeypatch) as server:
        server.files["/file"] = DATA
        yield server


def md5(data: bytes) -> str:
    return f"md5:{hashlib.md5(data).hexdigest()}"


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


def test_a_file_without_a_published_checksum_is_taken_as_it_comes(
    mirror: Mirror, tmp_path: Path
) -> None:
    mirror.answers = [Answer(stop_after=FAR)]
    fetch(f"{mirror.address}/file", tmp_path / "file", checksum=None)
    assert (tmp_path / "file").read_bytes() == DATA
    assert names(tmp_path) == {"file"}
    assert [request.range for request in mirror.requests] == [None, f"bytes={FAR}-"]
