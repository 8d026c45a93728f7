"""Whatever happens while a file is written: the old one, the new one, never a part."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from vqaudio.errors import VqaudioError
from vqaudio.files import atomic


def test_the_file_appears_at_the_end_under_its_name(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "codes.npz"
    with atomic(path) as temporary:
        assert temporary.parent == path.parent
        assert temporary.name.startswith(".")
        assert temporary.suffix == ".npz"
        temporary.write_bytes(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    assert os.listdir(path.parent) == ["codes.npz"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, SystemExit])
def test_any_exception_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"old")

    def interrupted() -> None:
        with atomic(path) as temporary:
            temporary.write_bytes(b"ha")
            raise error

    with pytest.raises(error):
        interrupted()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["model.safetensors"]


def test_two_writers_of_one_name_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with atomic(path) as first, atomic(path) as second:
        assert first != second
        first.write_bytes(b"first")
        second.write_bytes(b"second")
    assert path.read_bytes() == b"first"  # the outer block ends last
    assert os.listdir(tmp_path) == ["a.wav"]


def test_a_link_is_followed_and_a_long_name_fits(tmp_path: Path) -> None:
    real = tmp_path / "disk" / "blob"
    link = tmp_path / "link.json"
    link.symlink_to(real)
    with atomic(link) as temporary:
        assert temporary.parent == real.parent
        temporary.write_bytes(b"{}")
    assert link.is_symlink()
    assert real.read_bytes() == b"{}"
    longest = tmp_path / ("x" * 251 + ".npz")
    with atomic(longest) as temporary:
        temporary.write_bytes(b"")
    assert longest.exists()


def _write(path: Path) -> None:
    with atomic(path) as temporary:
        temporary.write_bytes(b"x")


def test_what_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"kept")
    with pytest.raises(VqaudioError, match=r"^cannot write .*a\.npz: .*file is a file, not a fol"):
        _write(file / "a.npz")
    with pytest.raises(VqaudioError, match=r"^cannot write .*: Not a directory; choose a place"):
        _write(file / "b" / "a.npz")
    with pytest.raises(VqaudioError, match="it is a folder; choose another name"):
        _write(tmp_path)
    with pytest.raises(VqaudioError, match="File name too long"):
        _write(tmp_path / ("x" * 300))
    assert file.read_bytes() == b"kept"
    assert os.listdir(tmp_path) == ["file"]


def test_a_device_is_not_replaced_by_a_file() -> None:
    with pytest.raises(VqaudioError, match="/dev/null: it is not a regular file"):
        _write(Path("/dev/null"))
    assert Path("/dev/null").is_char_device()


def test_a_failed_rename_removes_the_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(source: str, target: str) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(target))

    monkeypatch.setattr(os, "replace", denied)
    with pytest.raises(VqaudioError, match=r"a\.npz: Permission denied; choose a place"):
        _write(tmp_path / "a.npz")
    assert os.listdir(tmp_path) == []


def test_a_full_disk_is_told_from_errors_that_have_another_cause(tmp_path: Path) -> None:
    def fail(error: OSError) -> None:
        with atomic(tmp_path / "a.npz"):
            raise error

    with pytest.raises(VqaudioError, match="No space left on device"):
        fail(OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(FileNotFoundError, match="other"):
        fail(FileNotFoundError(errno.ENOENT, "No such file", "other.wav"))
    with pytest.raises(TimeoutError):
        fail(TimeoutError("the server is slow"))
    assert os.listdir(tmp_path) == []
