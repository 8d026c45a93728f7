"""Files appear whole or not at all.

Everything vqaudio writes goes through `atomic`: written under a temporary name in the same folder,
then renamed. A reader, a second process or a killed run never sees half a file.
"""

from __future__ import annotations

import errno
import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vqaudio.errors import VqaudioError

# What the kernel says when a write itself fails. Such an error carries no file name, and other
# errors without one (a download that times out) must not be blamed on the disk.
_WRITE_FAILED = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}


@contextmanager
def atomic(path: str | os.PathLike[str], *, durable: bool = False) -> Iterator[Path]:
    """Yields a temporary path beside `path`; renames it onto `path` if the block succeeds.

    The block creates the temporary file. Its name starts with "." (listings skip it), is unique and
    has the suffix of `path` (libraries pick formats by it). If the block raises, whatever it
    raises, the temporary file is removed and an older file at `path` stays as it was. Missing
    parent folders are created; a symbolic link is followed, not replaced. A `durable` file outlives
    a power cut: it is on the disk before it has its name, which takes a while.

    Raises:
        VqaudioError: the folder cannot be written, the disk is full, or `path` is a folder or a
            device. Errors of the block that are not about this file pass through.
    """
    path = Path(path)
    target = Path(os.path.realpath(path))
    # The stem is cut so that a final name of legal length has a temporary name of legal length.
    name = f".{path.stem[:40]}.{os.getpid()}-{uuid.uuid4().hex[:8]}{path.suffix}"
    temporary = target.with_name(name)
    try:
        with _explain(path):
            target.parent.mkdir(parents=True, exist_ok=True)
            # Asked before the work, not after it; and root could rename a file over /dev/null.
            if target.exists() and not target.is_file():
                kind = "a folder" if target.is_dir() else "not a regular file"
                raise VqaudioError(f"cannot write {path}: it is {kind}; choose another name")
        try:
            yield temporary
        except OSError as error:
            no_name = error.filename is None and error.errno in _WRITE_FAILED
            if no_name or str(error.filename) == str(temporary):
                raise _refusal(path, error) from error
            raise
        assert temporary.exists(), f"the block of atomic({str(path)!r}) wrote no file"
        with _explain(path):
            if durable:
                _flush(temporary)
            os.replace(temporary, target)
            if durable:
                _flush(target.parent)
    finally:
        with suppress(OSError):
            temporary.unlink()


def sha256_of(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's content, in hexadecimal. Raises OSError when it cannot be read."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _explain(path: Path) -> Iterator[None]:
    """Turns an OSError into the sentence that the user reads."""
    try:
        yield
    except OSError as error:
        raise _refusal(path, error) from error


def _refusal(path: Path, error: OSError) -> VqaudioError:
    reason = error.strerror or str(error)
    if isinstance(error, FileExistsError):  # mkdir met a file where a folder should be
        reason = f"{error.filename} is a file, not a folder"
    return VqaudioError(f"cannot write {path}: {reason}; choose a place that can be written")
