"""Archives of every kind: whole or not there, and never outside of their folder."""

from __future__ import annotations

import bz2
import gzip
import io
import stat
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from mirror import member, names, pack, tar_of

from vqaudio.corpora.download import unpack
from vqaudio.errors import CorpusError

DATA = np.random.default_rng(0).bytes(300_000)
KINDS = ("a.tar.gz", "a.tar.bz2", "a.zip")


@pytest.fixture
def nest(tmp_path: Path) -> Path:
    """A folder with nothing in it, in a folder with nothing else in it."""
    nest = tmp_path / "outside" / "nest"
    nest.mkdir(parents=True)
    return nest


@pytest.mark.parametrize("name", KINDS)
def test_an_archive_is_unpacked_and_the_marker_written_last(nest: Path, name: str) -> None:
    inside = {"corpus/licence": b"free", "corpus/split/a": b"sound"}
    (nest / name).write_bytes(pack(inside, name))
    (nest / "corpus/other").mkdir(parents=True)
    (nest / f".{name}.unpacked/corpus/split/half").mkdir(parents=True)  # of a run that was killed
    unpack(nest / name, nest, marker=nest / "corpus/split/.complete")
    assert names(nest) == {name, "corpus"}
    assert names(nest / "corpus") == {"licence", "other", "split"}
    assert names(nest / "corpus/split") == {"a", ".complete"}
    assert (nest / "corpus/split/a").read_bytes() == b"sound"


@pytest.mark.parametrize("name", KINDS)
def test_a_folder_that_is_not_there_is_made(nest: Path, name: str) -> None:
    (nest / name).write_bytes(pack({"a": b"sound"}, name))
    unpack(nest / name, nest / "new", marker=nest / "new/.complete")
    assert names(nest / "new") == {"a", ".complete"}


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
def test_a_tar_that_would_write_elsewhere_is_refused(
    nest: Path, evil: list[tarfile.TarInfo]
) -> None:
    (nest.parent / "secret").touch()
    archive = nest / "a.tar.gz"
    archive.write_bytes(tar_of({member("corpus/a"): b"sound"} | dict.fromkeys(evil, b"")))
    with pytest.raises(CorpusError, match=r"a\.tar\.gz is not unpacked, for it would write elsewh"):
        unpack(archive, nest, marker=nest / "marker")
    assert names(nest) == {"a.tar.gz"}
    assert names(nest.parent) == {"nest", "secret"}


def zip_member(name: str, kind: int = stat.S_IFREG) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("placeholder")
    info.filename = name  # the constructor mends it
    info.external_attr = (kind | 0o644) << 16
    return info


@pytest.mark.parametrize(
    "evil",
    [
        zip_member("../evil"),
        zip_member("corpus/../../../evil"),
        zip_member("/tmp/evil"),
        zip_member("corpus\\..\\..\\evil"),
        zip_member("corpus/link", stat.S_IFLNK),
        zip_member("corpus/pipe", stat.S_IFIFO),
    ],
    ids=lambda evil: evil.filename,
)
def test_a_zip_that_would_write_elsewhere_is_refused(nest: Path, evil: zipfile.ZipInfo) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("corpus/a", b"sound")
        file.writestr(evil, b"/etc")
    (nest / "a.zip").write_bytes(buffer.getvalue())
    with pytest.raises(CorpusError, match=r"a\.zip is not unpacked, for it would write elsewhere"):
        unpack(nest / "a.zip", nest, marker=nest / "marker")
    assert names(nest) == {"a.zip"}
    assert names(nest.parent) == {"nest"}


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.tar.gz", b"no archive"),
        ("a.tar.gz", gzip.compress(b"no tar")),
        ("a.tar.gz", tar_of({})[:20]),
        ("a.tar.bz2", b"no archive"),
        ("a.tar.bz2", bz2.compress(b"no tar")),
        ("a.zip", b"no archive"),
    ],
    # By number: gzip puts the time into its header, and names must not change with it.
    ids=lambda value: value if isinstance(value, str) else "data",
)
def test_a_damaged_archive_is_refused(nest: Path, name: str, data: bytes) -> None:
    (nest / name).write_bytes(data)
    with pytest.raises(CorpusError, match=rf"{name} is damaged \(.+\): remove it, and start again"):
        unpack(nest / name, nest, marker=nest / "marker")
    assert names(nest) == {name}


@pytest.mark.parametrize("name", KINDS)
def test_an_archive_that_was_cut_is_refused(nest: Path, name: str) -> None:
    data = pack({"corpus/a": DATA}, name)
    (nest / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(CorpusError, match="is damaged"):
        unpack(nest / name, nest, marker=nest / "marker")
    assert names(nest) == {name}


@pytest.mark.parametrize("name", KINDS)
def test_one_changed_byte_is_noticed_where_nobody_publishes_a_checksum(
    nest: Path, name: str
) -> None:
    data = bytearray(pack({"corpus/a": DATA}, name))
    data[len(data) // 2] ^= 1
    (nest / name).write_bytes(data)
    with pytest.raises(CorpusError, match="is damaged"):
        unpack(nest / name, nest, marker=nest / "marker")
    assert names(nest) == {name}


def test_a_python_that_cannot_unpack_safely_does_not(
    nest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (nest / "a.tar.gz").write_bytes(tar_of({member("a"): b""}))
    monkeypatch.delattr(tarfile, "data_filter")
    with pytest.raises(CorpusError, match=r"use Python 3\.10\.12, 3\.11\.4, 3\.12 or later"):
        unpack(nest / "a.tar.gz", nest, marker=nest / "marker")
    assert names(nest) == {"a.tar.gz"}
