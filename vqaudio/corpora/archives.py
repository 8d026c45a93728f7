"""Corpora that lie at an official address as archives: fetched, checked, unpacked, known again.

A corpus is a `Source`, which is data, and a function that lists what has been unpacked. Beside the
corpus: `.<archive>` until it is unpacked, and `<folder>/.complete`, written last.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from rich.filesize import decimal

from vqaudio.corpora.download import fetch, only_one, unpack
from vqaudio.corpora.splitting import check_split
from vqaudio.errors import CorpusError

OPENSLR = "https://www.openslr.org/resources"
GITHUB = "https://github.com"


class Archive(NamedTuple):
    """One .tar.gz, .tar.bz2 or .zip, and how to tell that it has been unpacked."""

    file: str
    """Below the address of the corpus, or of a mirror."""
    num_bytes: int
    checksum: str | None
    """"md5:..." as published; None where nothing is, and then only the packing's own checks hold.
    """
    folder: str
    """Below the root of the corpus: what appears when it is unpacked."""
    sign: str
    """Glob pattern below `folder` that matches something when it was unpacked by hand."""
    into: str = "."
    """Below the root: where it is unpacked, for archives without a folder of their own."""
    url: str | None = None
    """The official address, where it is not the corpus's address and the file."""
    inside: str = "."
    """The folder in the archive that is unpacked; what lies beside it is left out."""
    num_files: int | None = None
    """That match `sign` when all of it has arrived; None where nobody has counted."""

    @property
    def name(self) -> str:
        """Of the file alone."""
        return self.file.rpartition("/")[2]


def github_archive(
    repository: str,
    commit: str,
    *,
    inside: str = ".",
    num_bytes: int,
    folder: str,
    sign: str,
    num_files: int,
) -> Archive:
    """The files below `inside` of a repository of GITHUB, at one commit.

    GitHub packs anew for each who asks, with other bytes now and then, so no checksum can be given;
    the commit names the content, and the files are counted.
    """
    name = repository.rpartition("/")[2]
    return Archive(
        file=f"{repository}/archive/{commit}.tar.gz",
        num_bytes=num_bytes,
        checksum=None,
        folder=folder,
        sign=sign,
        into=folder,
        inside=f"{name}-{commit}/{inside}",
        num_files=num_files,
    )


@dataclass(frozen=True)
class Source:
    """Where a corpus comes from."""

    name: str
    """In recipes."""
    address: str
    archives: Mapping[str, Archive]
    """By split; several splits may come in one archive."""
    choose: bool = False
    """Too large to be fetched unasked: whoever downloads names splits."""

    @property
    def mirror(self) -> str:
        """Environment variable with the address of a mirror, which has the same files."""
        return f"VQAUDIO_{self.name.upper().replace('-', '_')}_URL"

    @property
    def num_bytes(self) -> int:
        """Of all archives."""
        return sum(archive.num_bytes for archive in set(self.archives.values()))

    def check(self, splits: Sequence[str]) -> None:
        """Raises CorpusError for a split that there is not."""
        for split in splits:
            check_split(self.name, split, tuple(self.archives))

    def to_fetch(self, root: Path, splits: Sequence[str]) -> int:
        """Bytes that `download` would fetch. Raises CorpusError for an unknown split."""
        return sum(archive.num_bytes for archive in self._missing(root, splits))

    def download(self, root: Path, splits: Sequence[str]) -> None:
        """Fetch the archives of these splits and unpack them below `root`.

        A split that is there, downloaded or unpacked by hand, is left alone. An archive is checked
        against its published sum, and removed when it has been unpacked.

        Raises CorpusError for an unknown split, when none is named of a large corpus, and when one
        cannot be had.
        """
        if self.choose and not splits:
            sizes = (f"{split} ({decimal(a.num_bytes)})" for split, a in self.archives.items())
            raise CorpusError(
                f"{self.name} is large: name the splits that you want, of {', '.join(sizes)}."
            )
        splits = splits or tuple(self.archives)
        if not self._missing(root, splits):
            for split in splits:  # what was killed between the marker and this line
                _place(root, self.archives[split]).unlink(missing_ok=True)
            return
        home = root / Path(next(iter(self.archives.values())).folder).parts[0]
        with only_one(home):
            missing = self._missing(root, splits)  # another process may have brought them meanwhile
            address = (os.environ.get(self.mirror) or self.address).rstrip("/")
            if missing:
                self._announce(root, missing, address)
            for archive in missing:
                path = _place(root, archive)
                path.parent.mkdir(parents=True, exist_ok=True)
                url = f"{address}/{archive.file}"
                if archive.url is not None and not os.environ.get(self.mirror):
                    url = archive.url
                fetch(url, path, checksum=archive.checksum)
                unpack(
                    path,
                    root / archive.into,
                    marker=root / archive.folder / ".complete",
                    inside=archive.inside,
                    count=(archive.sign, archive.num_files),
                )
                path.unlink(missing_ok=True)

    def folder(self, root: Path, split: str) -> Path:
        """Where the split has been unpacked. Raises CorpusError when it is unknown or not there."""
        self.check([split])
        archive = self.archives[split]
        folder = root / archive.folder
        if any(folder.glob(archive.sign)):
            return folder
        state = f"has no {archive.sign}" if folder.is_dir() else "does not exist"
        remedy = f"run vqaudio download {self.name} {root} --split {split}"
        raise CorpusError(f"{folder} {state}: {remedy}.")

    def _missing(self, root: Path, splits: Sequence[str]) -> list[Archive]:
        """What is not there of these splits, each once. Raises CorpusError for an unknown one."""
        self.check(splits)
        wanted = dict.fromkeys(self.archives[split] for split in splits)
        return [archive for archive in wanted if not _is_there(root, archive)]

    def _announce(self, root: Path, missing: Sequence[Archive], address: str) -> None:
        size = decimal(sum(archive.num_bytes for archive in missing))
        print(
            f"{self.name}: {size} to fetch from {address} ({self.mirror} may name a mirror), and "
            f"as much again or more to unpack, to {root}: "
            f"{', '.join(archive.name for archive in missing)}",
            file=sys.stderr,
        )
        unchecked = [archive.name for archive in missing if archive.checksum is None]
        if unchecked:
            print(
                f"{self.name}: nobody publishes a checksum of {', '.join(unchecked)}; what arrives "
                "damaged shows when it is unpacked, what was changed on purpose does not",
                file=sys.stderr,
            )


def _is_there(root: Path, archive: Archive) -> bool:
    """Whether it has been unpacked. An archive of ours without the marker: not to its end.

    By hand leaves no marker.
    """
    folder = root / archive.folder
    if (folder / ".complete").exists():
        return True
    return not _place(root, archive).exists() and any(folder.glob(archive.sign))


def _place(root: Path, archive: Archive) -> Path:
    """Where an archive is until it has been unpacked; hidden, so no one takes it for their own."""
    return root / Path(archive.folder).parts[0] / f".{archive.name}"
