"""Where shards lie: a folder of this machine, or one of any store that fsspec knows (s3://, hf://).

A shard is made in a local workspace and moved in whole. Local files are renamed, remote ones
uploaded, and what is read back from a store is first copied here.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import IO, Any, Protocol

from filelock import FileLock, Timeout

from vqaudio.errors import VqaudioError
from vqaudio.files import atomic

LOCK = ".lock"
LEFT = re.compile(
    r"\.shard-\d+\.\w{8}"  # of `workspace`
    r"|\.(shard-\d+|plan|index|unreadable)\.\d+-[0-9a-f]{8}\.jsonl?"  # of `atomic`
)
"""Hidden names that a killed run may have left, and nobody else."""
HEADER_BYTES = 1 << 18
"""To fetch at once of a remote file: only its header is wanted, and a store's usual is 50 MB."""


class Folder(Protocol):
    """Files by name; names of files in sub-folders have slashes. All raise VqaudioError."""

    address: str

    def names(self) -> list[str]:
        """Of files and folders directly in it, sorted; hidden ones are passed over."""

    def size(self, name: str) -> int | None:
        """Bytes, or None where there is no such file."""

    def read(self, name: str) -> bytes: ...

    def write(self, name: str, content: bytes) -> None:
        """Whole or not at all."""

    def take(self, file: Path, name: str) -> None:
        """Move a file of a workspace in."""

    def remove(self, name: str) -> None:
        """Nothing happens where there is none."""

    def workspace(self, name: str) -> AbstractContextManager[Path]:
        """An empty local folder that is gone afterwards."""

    def local(self, names: Sequence[str]) -> AbstractContextManager[Path]:
        """A local folder that holds these files."""

    def hold(self) -> AbstractContextManager[None]:
        """Keep others from writing; what a killed run has left is cleaned away."""


def is_remote(address: str) -> bool:
    """Whether an address is for fsspec: protocol://..."""
    return re.match(r"\w[\w+.-]*://", address) is not None and not address.startswith("file://")


def open_folder(address: str) -> Folder:
    """The folder at an address; it need not exist yet."""
    if is_remote(address):
        return RemoteFolder(address)
    return LocalFolder(address)


class LocalFolder:
    """A `Folder` of this machine."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.path = Path(address.removeprefix("file://"))

    def names(self) -> list[str]:
        if not self.path.exists():
            return []
        return sorted(name for name in os.listdir(self.path) if not name.startswith("."))

    def size(self, name: str) -> int | None:
        try:
            return (self.path / name).stat().st_size
        except OSError:
            return None

    def read(self, name: str) -> bytes:
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise VqaudioError(
                f"cannot read {self.path / name}: {error.strerror}; name an export that is whole"
            ) from None

    def write(self, name: str, content: bytes) -> None:
        with atomic(self.path / name, durable=True) as temporary:
            temporary.write_bytes(content)

    def take(self, file: Path, name: str) -> None:
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with file.open("rb") as content:  # on the disk before it has its name: see `atomic`
            os.fsync(content.fileno())
        os.replace(file, target)

    def remove(self, name: str) -> None:
        target = self.path / name
        try:
            target.unlink(missing_ok=True)
        except OSError as error:
            raise VqaudioError(f"cannot remove {target}: {error.strerror}") from None
        with suppress(OSError):  # of a sub-folder that holds other files
            for parent in target.relative_to(self.path).parents[:-1]:
                (self.path / parent).rmdir()

    @contextmanager
    def workspace(self, name: str) -> Iterator[Path]:
        # On the same disk, so that moving is renaming. Hidden, and told from the shards by the dot.
        workspace = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=self.path))
        try:
            yield workspace
        finally:
            shutil.rmtree(workspace, ignore_errors=True)

    @contextmanager
    def local(self, names: Sequence[str]) -> Iterator[Path]:
        yield self.path

    @contextmanager
    def hold(self) -> Iterator[None]:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise VqaudioError(
                f"cannot write to {self.path}: {error.strerror}; name another folder"
            ) from None
        lock = FileLock(self.path / LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise VqaudioError(
                f"another export is writing to {self.path}: wait for it, or name another folder"
            ) from None
        except OSError as error:
            raise VqaudioError(
                f"cannot write to {self.path}: {error.strerror}; name another folder"
            ) from None
        try:
            self._clean()
            yield
            self._clean()  # workers may have been killed, and others done their shards
        finally:
            lock.release()

    def _clean(self) -> None:
        for left in self.path.iterdir():
            if LEFT.fullmatch(left.name):
                shutil.rmtree(left) if left.is_dir() else left.unlink()


class RemoteFolder:
    """A `Folder` of a store; two exports at once to one are not kept apart."""

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        self._store, self._root = find_store(address)
        self._root = self._root.rstrip("/")
        self._sizes: dict[str, dict[str, int | None]] = {}
        """By folder below it and name there; None of a folder."""
        self._listing = Lock()

    def names(self) -> list[str]:
        return sorted(name for name in self._list("") if not name.startswith("."))

    def size(self, name: str) -> int | None:
        parent, _, last = name.rpartition("/")
        return self._list(parent).get(last)

    def read(self, name: str) -> bytes:
        with explained(f"read {self.address}/{name}"):
            return bytes(self._store.cat_file(f"{self._root}/{name}"))

    def write(self, name: str, content: bytes) -> None:
        with explained(f"write {self.address}/{name}"):
            self._store.pipe_file(f"{self._root}/{name}", content)
        self._note(name, len(content))

    def take(self, file: Path, name: str) -> None:
        size = file.stat().st_size
        with explained(f"write {self.address}/{name}"):
            target = f"{self._root}/{name}"
            self._store.put_file(os.fspath(file), target)
            arrived = self._store.info(target)["size"]
        if arrived != size:
            raise VqaudioError(
                f"{self.address}/{name} has {arrived} of {size} bytes after the upload: "
                "the same command tries again"
            )
        file.unlink()
        self._note(name, size)

    def remove(self, name: str) -> None:
        with explained(f"remove {self.address}/{name}"), suppress(FileNotFoundError):
            self._store.rm_file(f"{self._root}/{name}")
        self._note(name, None)

    @contextmanager
    def workspace(self, name: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix=f"vqaudio-{name}-") as workspace:
            yield Path(workspace)

    @contextmanager
    def local(self, names: Sequence[str]) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="vqaudio-read-") as folder:
            for name in names:
                target = Path(folder, name)
                target.parent.mkdir(parents=True, exist_ok=True)
                with explained(f"read {self.address}/{name}"):
                    self._store.get_file(f"{self._root}/{name}", os.fspath(target))
            yield Path(folder)

    @contextmanager
    def hold(self) -> Iterator[None]:
        yield

    def _list(self, parent: str) -> dict[str, int | None]:
        """One listing of a folder, rather than a question for each of its files."""
        with self._listing:
            if parent not in self._sizes:
                folder = f"{self._root}/{parent}".rstrip("/")
                with explained(f"list {self.address}"):
                    self._sizes[parent] = {
                        facts["name"].rstrip("/").rpartition("/")[2]: (
                            int(facts["size"]) if facts["type"] == "file" else None
                        )
                        for facts in _ask(self._store, "ls", folder) or ()
                        if facts["name"].strip("/") != folder.strip("/")
                    }
            return self._sizes[parent]

    def _note(self, name: str, size: int | None) -> None:
        parent, _, last = name.rpartition("/")
        with self._listing:
            if parent in self._sizes:
                self._sizes[parent].pop(last, None)
                if size is not None:
                    self._sizes[parent][last] = size


def find_store(address: str) -> tuple[Any, str]:
    """The file system of fsspec for an address, and the path there. Raises VqaudioError."""
    try:
        import fsspec
    except ImportError:
        raise VqaudioError(f"{address} needs fsspec: pip install 'vqaudio[export]'") from None
    try:
        # Others write there: what was listed a while ago is not believed.
        store, path = fsspec.core.url_to_fs(address, use_listings_cache=False)
    except (ImportError, ValueError) as error:
        raise VqaudioError(f"cannot use {address}: {error}") from None
    return store, str(path)


def list_files(address: str) -> list[str]:
    """The names of all files below a remote folder, in the order of a local one.

    Raises VqaudioError.
    """
    store, root = find_store(address)
    with explained(f"list {address}"):
        paths = _ask(store, "find", root) or ()
    names = (path.removeprefix(root.rstrip("/")).lstrip("/") for path in paths)
    return sorted(names, key=lambda name: name.split("/"))


def open_remote(address: str) -> IO[bytes]:
    """A remote file, to read its header. Raises VqaudioError."""
    store, path = find_store(address)
    with explained(f"read {address}"):
        file: IO[bytes] = store.open(path, "rb", block_size=HEADER_BYTES)
        return file


@contextmanager
def explained(doing: str) -> Iterator[None]:
    """Whatever a store raises, and they raise anything, as one sentence."""
    try:
        yield
    except VqaudioError:
        raise
    except Exception as error:
        raise VqaudioError(
            f"cannot {doing}: {error or type(error).__name__}; check the address and the access"
        ) from error


def _ask(store: Any, verb: str, folder: str) -> Any:
    """What "ls" or "find" say in detail, as it is now; None where there is no such folder."""
    store.invalidate_cache()  # of stores that cache anyway
    try:
        return getattr(store, verb)(folder, detail=True)
    except FileNotFoundError:
        return None
