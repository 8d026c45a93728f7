"""What a shard came to: the small manifest that is written last, and makes the shard complete."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import NamedTuple

from vqaudio.errors import VqaudioError
from vqaudio.export.header import FORMAT_VERSION
from vqaudio.export.sound import Unreadable
from vqaudio.export.storage import Folder


class ShardFile(NamedTuple):
    """One file of a shard."""

    name: str
    size: int
    """Bytes."""
    sha256: str


@dataclass(frozen=True)
class Summary:
    """One shard that is complete."""

    shard: str
    """shard-00000, ..."""
    files: tuple[ShardFile, ...]
    """The first one names the shard; none where no recording could be read."""
    rows: int
    seconds: float
    frames: int
    unreadable: tuple[Unreadable, ...]

    def to_json(self) -> bytes:
        facts = {
            "format_version": FORMAT_VERSION,
            **asdict(self),
            "files": [file._asdict() for file in self.files],
            "unreadable": [one._asdict() for one in self.unreadable],
        }
        return json.dumps(facts, indent=1).encode() + b"\n"

    @classmethod
    def from_json(cls, content: bytes, name: str) -> Summary:
        """Raises VqaudioError when it is damaged; `name` is named."""
        try:
            facts = json.loads(content)
            if facts.pop("format_version") != FORMAT_VERSION:
                raise KeyError
            files = tuple(ShardFile(**file) for file in facts.pop("files"))
            unreadable = tuple(Unreadable(**one) for one in facts.pop("unreadable"))
            return cls(files=files, unreadable=unreadable, **facts)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise VqaudioError(f"{name} is no manifest of a shard, or a damaged one") from None


def manifest_of(shard: str) -> str:
    """The name of a shard's manifest."""
    return f"{shard}.json"


def read_summary(folder: Folder, shard: str) -> Summary | None:
    """What a shard came to, or None when it is not complete: a file lacks, or has another size."""
    name = manifest_of(shard)
    if folder.size(name) is None:
        return None
    try:
        summary = Summary.from_json(folder.read(name), f"{folder.address}/{name}")
    except VqaudioError:
        return None
    whole = all(folder.size(file.name) == file.size for file in summary.files)
    return summary if whole else None
