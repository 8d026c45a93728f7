"""Archives from the web: a broken transfer goes on, and what is unpacked is whole or not there.

    only_one    of several processes that want a corpus, one fetches it
    fetch       address -> archive; it grows as <archive>.part
    unpack      archive -> folder; it grows as .<archive>.unpacked/

pooch and torch.hub start a broken transfer anew: with 30 GB on a slow line it never ends.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import http.client
import os
import re
import shutil
import stat
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, cast

from filelock import FileLock, Timeout
from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from vqaudio.errors import CorpusError

PAUSES = (1.0, 3.0, 10.0, 30.0)  # s, before a broken transfer is tried again
TIMEOUT = 60.0  # s without a byte
BLOCK = 1 << 20  # bytes
PASSING = {408, 429}  # HTTP statuses that may pass, and so may all from 500: the others stay


class _BrokenError(Exception):
    """The transfer stopped for a reason that may pass."""


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Holds `folder`/.lock; a second process waits here, and says so. The folder is created.

    Raises CorpusError when the folder cannot be written.
    """
    with _explain(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            _say(Console(stderr=True), f"waiting for another process to fill {folder}")
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


def fetch(url: str, path: Path, *, checksum: str | None) -> None:
    """Bring what is at `url` to `path`, which appears when its checksum has been found right.

    `checksum` is "md5:..." or "sha256:..." in hexadecimal digits; None where none is published,
    and then any file that arrives is taken. Return at once if `path` is there. What has arrived is
    kept in `path`.part, so that this call, or the next one, fetches only the rest; where the
    checksum is wrong, the file is removed and fetched anew, once.

    Raises CorpusError when the server refuses, cannot be reached in several tries, or sends
    something else; and when the disk is full or cannot be written.
    """
    algorithm, _, expected = (checksum or "none:").partition(":")
    assert algorithm in ("md5", "sha256", "none"), checksum
    if path.exists():
        return
    part = path.with_name(f"{path.name}.part")
    with _explain(part), _show_progress() as progress:
        for attempt in ("first", "second"):
            _transfer(url, part, progress)
            found = "" if checksum is None else _digest(part, algorithm, progress)
            if found == expected:
                os.replace(part, path)
                return
            part.unlink()
            if attempt == "first":
                _say(progress.console, f"{url} arrived damaged: it is fetched once more")
    raise CorpusError(
        f"{url} arrived twice with another {algorithm} checksum than is published ({found}, not "
        f"{expected}): try again later, or another mirror."
    )


def unpack(
    archive: Path,
    folder: Path,
    *,
    marker: Path,
    inside: str = ".",
    count: tuple[str, int | None] = ("*", None),
) -> None:
    """Unpack a .tar.gz, .tar.bz2, .tar or .zip into `folder`; write the empty file `marker` last.

    A folder that is not there yet appears whole, one that is there is added to. A call after one
    that was killed begins anew. `inside` is the folder in the archive that is wanted, without what
    lies beside it; `count` a pattern below it and how many files must match, None for any number.

    Raises CorpusError when a member or a link would leave the folder or is a device (nothing is
    unpacked then), when the archive is damaged or has another number of files, and when the disk
    is full or cannot be written.
    """
    extract = _extract_zip if archive.suffix == ".zip" else _extract_tar
    if extract is _extract_tar and not hasattr(tarfile, "data_filter"):
        raise CorpusError(
            f"this Python cannot unpack {archive} without the risk that it writes elsewhere: use "
            "Python 3.10.12, 3.11.4, 3.12 or later."
        )
    # Beside the archive, so on the disk that the corpus goes to even if its folder is a link; and
    # hidden, so that what a killed run leaves is not taken for the corpus.
    temporary = archive.with_name(f".{archive.name.lstrip('.')}.unpacked")
    try:
        with _explain(temporary):
            shutil.rmtree(temporary, ignore_errors=True)  # of a run that was killed
            extract(archive, temporary)
            pattern, expected = count
            found = sum(1 for _ in (temporary / inside).glob(pattern))
            if expected is not None and found != expected:
                raise _damage(archive, f"{found} files in place of {expected}")
            folder.mkdir(parents=True, exist_ok=True)
            _move(temporary / inside, folder)
            marker.touch()
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _transfer(url: str, part: Path, progress: Progress) -> None:
    """Append to `part` what it lacks.

    A line that breaks again and again still brings the file: only tries that got no further than
    an earlier one are counted. Raises CorpusError when they are too many.
    """
    furthest = _size(part)
    in_vain = 0
    while True:
        try:
            _receive(url, part, progress)
            return
        except _BrokenError as error:
            in_vain = 0 if _size(part) > furthest else in_vain + 1
            furthest = max(furthest, _size(part))
            if in_vain > len(PAUSES):
                raise CorpusError(
                    f"cannot fetch {url}: {error}; start again later, or with another mirror: what "
                    "has been fetched is kept."
                ) from None
            pause = PAUSES[max(in_vain, 1) - 1]
            _say(progress.console, f"{url}: {error}; trying again in {pause:g} s")
            time.sleep(pause)


def _receive(url: str, part: Path, progress: Progress) -> None:
    """One request for what `part` lacks."""
    start = _size(part)
    response = _open(url, start)
    if response is None:
        return
    with response:
        if start and response.status != 206:  # the server sends the whole file, whatever is asked
            start = 0
        elif start and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            part.unlink()
            raise _BrokenError("the server sent another part than was asked for")
        rest = response.length  # bytes; None where the server does not say
        _announce(url, part, start, rest, progress.console)
        total = None if rest is None else start + rest
        task = progress.add_task(f"fetch {_name(url)}", completed=start, total=total)
        try:
            with part.open("ab" if start else "wb") as file:
                for block in _blocks(response):
                    file.write(block)
                    progress.advance(task, len(block))
        finally:
            progress.remove_task(task)


def _open(url: str, start: int) -> http.client.HTTPResponse | None:
    """The answer to a request for the bytes from `start`; None when there are none."""
    headers = {"User-Agent": "vqaudio"} | ({"Range": f"bytes={start}-"} if start else {})
    if not re.match("https?://", url):
        raise CorpusError(f"{url} is no address of a file: it must begin with https:// or http://.")
    request = urllib.request.Request(url, headers=headers)
    try:
        response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and start:  # killed after the last byte, or the file has shrunk:
            return None  # the checksum will tell
        if error.code in PASSING or error.code >= 500:
            raise _BrokenError(f"the server said {error.code} {error.reason}") from None
        raise CorpusError(
            f"cannot fetch {url}: the server said {error.code} {error.reason}; check the address, "
            "or try another mirror."
        ) from None
    except urllib.error.URLError as error:
        raise _BrokenError(_reason(error.reason)) from None
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenError(_reason(error)) from None
    return response


def _blocks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """The body as it arrives. Raises _BrokenError when it ends early."""
    try:
        while block := response.read1(BLOCK):
            yield block
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenError(_reason(error)) from None
    if response.length:  # http.client takes a connection that was closed too soon for the end
        raise _BrokenError(f"the connection ended {response.length:,} bytes too soon")


def _announce(url: str, part: Path, start: int, rest: int | None, console: Console) -> None:
    """Say how much is on its way. Raises CorpusError when the disk has no room for it."""
    if rest is None:
        _say(console, f"fetching {url}, of unknown size")
        return
    disk = shutil.disk_usage(part.parent)
    if disk.total and disk.free < rest:  # some network disks tell nothing but zeros
        raise CorpusError(
            f"{part.parent} has room for {decimal(disk.free)} and {_name(url)} needs "
            f"{decimal(rest)} more: make room, or choose another folder."
        )
    done = f" ({decimal(start)} are here already)" if start else ""
    _say(console, f"fetching {url}: {decimal(rest)}{done}")


def _digest(path: Path, algorithm: str, progress: Progress) -> str:
    digest = hashlib.new(algorithm, usedforsecurity=False)  # MD5 is what openslr.org publishes
    with progress.open(path, "rb", description=f"check {path.name}") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _extract_tar(archive: Path, folder: Path) -> None:
    folder.mkdir()
    try:
        with (
            _show_progress() as progress,
            progress.open(archive, "rb", description=f"unpack {archive.name}") as packed,
            _decompressed(archive, packed) as file,
        ):
            # As a stream, and to its very end: gzip's own checksum stands there, and jumping back
            # in a bzip2 file means to begin anew.
            with tarfile.open(fileobj=file, mode="r|") as tar:
                tar.extractall(folder, filter="data")
            while file.read(BLOCK):
                pass
    except tarfile.FilterError as error:
        raise _refusal(archive, error) from None
    except (tarfile.TarError, zlib.error, EOFError) as error:
        raise _damage(archive, error) from None
    except OSError as error:
        if error.errno is not None:  # of the disk; without a number it is gzip's or bz2's own
            raise
        raise _damage(archive, error) from None


def _decompressed(archive: Path, packed: IO[bytes]) -> IO[bytes]:
    match archive.suffix:
        case ".gz" | ".tgz":
            return cast(IO[bytes], gzip.open(packed))
        case ".bz2":
            return cast(IO[bytes], bz2.open(packed))
    return packed


def _extract_zip(archive: Path, folder: Path) -> None:
    """zipfile checks each member's CRC, and would quietly mend names that lead elsewhere."""
    folder.mkdir()
    try:
        with zipfile.ZipFile(archive) as file, _show_progress() as progress:
            members = file.infolist()
            for member in members:
                kind = stat.S_IFMT(member.external_attr >> 16)  # 0 where a tool writes none
                name = PurePosixPath(member.filename.replace("\\", "/"))
                if name.is_absolute() or ".." in name.parts:
                    raise _refusal(archive, f"the name {member.filename!r}")
                if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise _refusal(archive, f"{member.filename!r} is a link or a device")
            total = sum(member.file_size for member in members)
            task = progress.add_task(f"unpack {archive.name}", total=total)
            for member in members:
                file.extract(member, folder)
                progress.advance(task, member.file_size)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise _damage(archive, error) from None


def _refusal(archive: Path, reason: object) -> CorpusError:
    return CorpusError(
        f"{archive} is not unpacked, for it would write elsewhere: {reason}; "
        "remove it, and take it from its official address."
    )


def _damage(archive: Path, reason: object) -> CorpusError:
    return CorpusError(f"{archive} is damaged ({reason}): remove it, and start again.")


def _move(source: Path, target: Path) -> None:
    """Move what is in `source` into `target`, files before folders.

    So a corpus folder that appears brings its licence and its list of speakers along.
    """
    for entry in sorted(source.iterdir(), key=lambda entry: (entry.is_dir(), entry.name)):
        place = target / entry.name
        try:
            os.replace(entry, place)
        except OSError:
            if not (entry.is_dir() and place.is_dir()):
                raise
            _move(entry, place)


@contextmanager
def _explain(path: Path) -> Iterator[None]:
    """Turns what the disk says while `path` is written into the sentence that the user reads."""
    try:
        yield
    except OSError as error:
        raise CorpusError(
            f"cannot write {error.filename or path}: {_reason(error)}; make room or choose another "
            "folder, and start again: what has been fetched is kept."
        ) from error


def _show_progress() -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )


def _say(console: Console, text: str) -> None:
    """A line above the progress bar, as it is: rich would wrap it and take [ ] for markup."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _size(path: Path) -> int:
    """In bytes; 0 if there is none."""
    return path.stat().st_size if path.exists() else 0


def _name(url: str) -> str:
    return url.rpartition("/")[2]


def _reason(error: object) -> str:
    """Why, in the system's words, without its numbers."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
