"""The plan: which recordings go into which shard. The shards are a function of it alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vqaudio.errors import VqaudioError
from vqaudio.export.header import FORMAT_VERSION, Header
from vqaudio.export.sound import Sound
from vqaudio.export.storage import Folder

PLAN = "plan.json"


@dataclass(frozen=True)
class Plan:
    """What an export is, fixed before its first shard is made."""

    format: str
    header: Header
    shard_hours: float
    digest: str
    """SHA-256 of what is known of the recordings before they are read."""
    num_recordings: int
    seconds: float
    shards: tuple[tuple[int, int], ...]
    """The first recording of each, and the one after the last, by place in the listing."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the shards: shard-00000, ..., of one length, so that they sort in their order."""
        digits = max(len(str(len(self.shards) - 1)), 5)
        return tuple(f"shard-{number:0{digits}}" for number in range(len(self.shards)))

    def to_json(self) -> bytes:
        facts = {"format_version": FORMAT_VERSION, **asdict(self), "header": self.header.facts()}
        return json.dumps(facts, indent=1).encode() + b"\n"

    @classmethod
    def from_json(cls, content: bytes, name: str) -> Plan:
        """Raises VqaudioError when it is damaged, or of another version; `name` is named."""
        try:
            facts: dict[str, Any] = json.loads(content)
            version = facts.pop("format_version")
            if version != FORMAT_VERSION:
                raise VqaudioError(
                    f"{name} has format {version}, {FORMAT_VERSION} is read: take the vqaudio that "
                    "wrote it, or name another folder"
                )
            header = Header.from_facts(facts.pop("header"))
            shards = tuple((int(start), int(stop)) for start, stop in facts.pop("shards"))
            return cls(header=header, shards=shards, **facts)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise VqaudioError(
                f"{name} is no plan of an export, or a damaged one: name another folder"
            ) from None


def make_plan(sounds: Sequence[Sound], header: Header, *, format: str, shard_hours: float) -> Plan:
    """Consecutive recordings, as many to a shard as make `shard_hours` of sound, or just more."""
    return Plan(
        format=format,
        header=header,
        shard_hours=shard_hours,
        digest=_digest(sounds),
        num_recordings=len(sounds),
        seconds=sum(sound.seconds for sound in sounds),
        shards=tuple(_cut(sounds, 3600 * shard_hours)),
    )


def differences(there: Plan, asked: Plan) -> list[str]:
    """In words, what of a plan is another than asked for; nothing when the two are one."""
    mine, other = asked.header, there.header
    pairs = {
        "format": (there.format, asked.format),
        "model": (other.model, mine.model),
        "levels": (len(other.codebook_sizes), len(mine.codebook_sizes)),
        "pattern": (other.pattern, mine.pattern),
        "shard hours": (there.shard_hours, asked.shard_hours),
        "number of recordings": (there.num_recordings, asked.num_recordings),
    }
    found = [f"{name} {old} there, {new} now" for name, (old, new) in pairs.items() if old != new]
    if not found and there != asked:
        found = ["recordings of other names, lengths, speakers or texts"]
    return found


def read_plan(folder: Folder) -> Plan | None:
    """The plan in a folder, if there is one. Raises VqaudioError when it is damaged."""
    if folder.size(PLAN) is None:
        return None
    return Plan.from_json(folder.read(PLAN), f"{folder.address}/{PLAN}")


def _cut(sounds: Sequence[Sound], shard_seconds: float) -> Iterator[tuple[int, int]]:
    start, seconds = 0, 0.0
    for place, sound in enumerate(sounds, start=1):
        seconds += sound.seconds
        if seconds >= shard_seconds or place == len(sounds):
            yield start, place
            start, seconds = place, 0.0


def _digest(sounds: Sequence[Sound]) -> str:
    digest = hashlib.sha256()
    for sound in sounds:
        id, _, *known = sound  # all but the location
        digest.update(json.dumps([id, *known]).encode() + b"\n")
    return digest.hexdigest()
