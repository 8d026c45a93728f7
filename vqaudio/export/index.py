"""The index of an export that is complete: its shards, totals, and what could not be read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from vqaudio.export.plan import Plan
from vqaudio.export.sound import Unreadable
from vqaudio.export.storage import Folder
from vqaudio.export.summary import Summary

INDEX = "index.json"
UNREADABLE = "unreadable.jsonl"


@dataclass(frozen=True)
class Index:
    """An export that is complete."""

    plan: Plan
    shards: tuple[Summary, ...]
    left_out: tuple[Unreadable, ...]
    """Files that are in no shard, as their header cannot be read."""

    @property
    def rows(self) -> int:
        return sum(shard.rows for shard in self.shards)

    @property
    def seconds(self) -> float:
        return sum(shard.seconds for shard in self.shards)

    @property
    def unreadable(self) -> tuple[Unreadable, ...]:
        return (*self.left_out, *(one for shard in self.shards for one in shard.unreadable))

    def facts(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "format": self.plan.format,
            "header": self.plan.header.facts(),
            "digest": self.plan.digest,
            "totals": {
                "shards": len(self.shards),
                "files": sum(len(shard.files) for shard in self.shards),
                "bytes": sum(file.size for shard in self.shards for file in shard.files),
                "rows": self.rows,
                "seconds": self.seconds,
                "frames": sum(shard.frames for shard in self.shards),
                "unreadable": len(self.unreadable),
            },
            "shards": [
                {
                    "shard": shard.shard,
                    "file": shard.files[0].name if shard.files else None,
                    "rows": shard.rows,
                    "seconds": shard.seconds,
                    "frames": shard.frames,
                    "unreadable": len(shard.unreadable),
                }
                for shard in self.shards
            ],
        }


def write_index(folder: Folder, index: Index) -> None:
    """Last of all: an export with an index is complete. Raises VqaudioError."""
    lines = (json.dumps(one._asdict(), ensure_ascii=False) for one in index.unreadable)
    folder.write(UNREADABLE, "".join(f"{line}\n" for line in lines).encode())
    folder.write(INDEX, json.dumps(index.facts(), indent=1).encode() + b"\n")


def remove_index(folder: Folder) -> None:
    """An export that is changed is not complete."""
    folder.remove(INDEX)
    folder.remove(UNREADABLE)
