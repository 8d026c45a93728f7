"""The files of a shard: where they lie here, and their hashes. Remote ones are copied, in turn."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import NamedTuple

from vqaudio.errors import AudioError
from vqaudio.export.sound import Sound
from vqaudio.export.storage import explained, find_store, is_remote
from vqaudio.files import sha256_of


class File(NamedTuple):
    """A file on this machine."""

    path: str
    sha256: str
    """In hexadecimal."""


class Files:
    """Fetches each file of some recordings once, and keeps it until the last of them is done.

    May be used by several threads.
    """

    def __init__(self, sounds: Sequence[Sound]) -> None:
        self._uses = Counter(sound.location for sound in sounds)
        self._files: dict[str, File] = {}
        self._locks = {location: Lock() for location in self._uses}
        self._folder: Path | None = None
        self._opening = Lock()
        self._found = False
        self._numbers = count()

    def fetch(self, sound: Sound) -> File:
        """Raises VqaudioError when it cannot be read."""
        location = sound.location
        with self._locks[location]:
            if location not in self._files:
                path = self._copy(location) if is_remote(location) else location
                self._files[location] = File(path, hash_of(path))
                self._found = True
            return self._files[location]

    def done(self, sound: Sound) -> None:
        """One recording needs its file no more."""
        location = sound.location
        self._uses[location] -= 1
        if self._uses[location] == 0:
            file = self._files.pop(location, None)
            if file is not None and file.path != location:
                os.unlink(file.path)

    @property
    def all_missing(self) -> bool:
        """Whether none of several files could be had: they cannot all be bad."""
        return len(self._locks) > 1 and not self._found

    def name_in(self, message: str, sound: Sound) -> str:
        """A message about a copied file, about what it is a copy of."""
        file = self._files.get(sound.location)
        return message if file is None else message.replace(file.path, sound.location)

    def __enter__(self) -> Files:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _copy(self, location: str) -> str:
        with self._opening:
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="vqaudio-sound-"))
        # Some formats are told by the suffix.
        target = self._folder / f"{next(self._numbers)}-{os.path.basename(location)[-80:]}"
        store, path = find_store(location)
        with explained(f"read {location}"):
            store.get_file(path, os.fspath(target))
        return os.fspath(target)


def hash_of(path: str) -> str:
    """SHA-256 of a file, in hexadecimal. Raises AudioError when it cannot be read."""
    try:
        return sha256_of(path)
    except FileNotFoundError:
        raise AudioError(f"{path} does not exist; check the name") from None
    except OSError as error:
        raise AudioError(f"cannot read {path}: {error.strerror}; check the file") from None
