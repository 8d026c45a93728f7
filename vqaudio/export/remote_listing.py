"""The recordings of a folder in a store, and of a manifest that lies there or names files there."""

from __future__ import annotations

import math
import os
import re
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

from vqaudio import audio
from vqaudio.corpora import manifest
from vqaudio.corpora.recordings import transcripts
from vqaudio.corpora.rows import Row as Line
from vqaudio.corpora.rows import locate, read_lines
from vqaudio.errors import CorpusError, VqaudioError
from vqaudio.export.sound import Listing, Sound, Unreadable, distinct, plain
from vqaudio.export.storage import explained, find_store, is_remote, list_files, open_remote

CONNECTIONS = 16
"""Headers of remote files that are read at once: each is mostly waited for."""
MANIFESTS = (".txt", ".lst", ".list", ".jsonl", ".json")
"""Suffixes of a manifest that may lie in a store, or name files there."""
ADDRESS = re.compile(rb"^\w[\w+.-]*://|\"audio_filepath\": *\"\w[\w+.-]*://")
STREAM = "the audio stream"
"""What a file object is called in messages."""
SHORTENED = re.compile(r"\w[\w+.-]*:/[^/]")


def of_remote_folder(data: str) -> Listing:
    """As of a local folder: speakers by the first sub-folder, texts by the .txt files."""
    there = list_files(data)
    names = [
        name
        for name in there
        if name.lower().endswith(audio.AUDIO_SUFFIXES)
        and not any(part.startswith(".") for part in name.split("/"))
    ]
    if not names:
        raise CorpusError(f"{data} holds no sound file: check the address")
    addresses = [f"{data.rstrip('/')}/{name}" for name in names]
    texts = _texts(data, [name for name in there if name.endswith(".txt")])
    sounds, unreadable = [], []
    for name, address, seconds in zip(names, addresses, _lengths(addresses), strict=True):
        key = plain(name)
        if isinstance(seconds, str):
            unreadable.append(Unreadable(key, key, plain(seconds.replace(address, name))))
            continue
        speaker, slash, _ = key.partition("/")
        text = texts.get(name.rpartition(".")[0])
        who = speaker if slash else None
        sounds.append(Sound(key, address, key, seconds, speaker=who, text=text and plain(text)))
    if not sounds:
        raise CorpusError(f"{data} holds no sound that can be read: {unreadable[0].reason}")
    return Listing(tuple(sounds), tuple(unreadable))


def of_manifest(data: str) -> Listing:
    """A list of paths, or NeMo's lines, where the list or its files lie in a store."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, data.rpartition("/")[2])
        if is_remote(data):
            store, path = find_store(data)
            with explained(f"read {data}"):
                store.get_file(path, os.fspath(copy))
        else:
            copy.write_bytes(Path(data).read_bytes())
        try:
            lines = _read(copy)
        except CorpusError as error:
            raise CorpusError(str(error).replace(os.fspath(copy), data)) from None
        if not lines:
            raise CorpusError(f"{data} lists no recording: name another manifest.")
        base = data.rpartition("/")[0]
        places = [_locate(line.path, Path(folder), base) for line in lines]
    unknown = [place for place, line in zip(places, lines, strict=True) if line.seconds is None]
    lengths = dict(zip(unknown, _lengths(unknown), strict=True))
    names = [place.removeprefix(f"{base}/") if base else place for place in places]
    ids = distinct(
        plain(f"{name}@{round(line.start, 6)}" if line.start else name)
        for name, line in zip(names, lines, strict=True)
    )
    sounds = []
    for id, name, place, line in zip(ids, names, places, lines, strict=True):
        seconds = line.seconds
        if seconds is None:
            length = lengths[place]
            if isinstance(length, str):
                raise CorpusError(f"{data}: {length}, or correct the line.")
            seconds = length - line.start
        if not (0 <= line.start < math.inf and 0 <= seconds < math.inf):
            raise CorpusError(
                f"{line.where.replace(os.fspath(copy), data)}: from {line.start:g} s on "
                f"{seconds:g} s are no part of a file: correct the line."
            )
        sounds.append(
            Sound(
                id=id,
                location=place,
                path=plain(name),
                seconds=seconds,
                start=line.start,
                speaker=None if line.speaker is None else plain(line.speaker),
                text=None if line.text is None else plain(line.text),
                language=None if line.language is None else plain(line.language),
            )
        )
    return Listing(tuple(sounds), ())


def names_addresses(path: Path) -> bool:
    """Whether a manifest of this machine lists files of a store."""
    if not is_manifest(path.name):
        return False
    with path.open("rb") as file:
        return any(ADDRESS.search(line) for line in file)


def _texts(data: str, names: Sequence[str]) -> dict[str, str]:
    """What is said in each recording, by its name without suffix."""
    store, root = find_store(data)
    with tempfile.TemporaryDirectory() as folder, explained(f"read the texts of {data}"):

        def copy(name: str) -> Path:
            target = Path(folder, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            store.get_file(f"{root.rstrip('/')}/{name}", os.fspath(target))
            return target.parent

        with ThreadPoolExecutor(CONNECTIONS) as pool:
            parents = dict.fromkeys(pool.map(copy, names))
        return {
            (parent / stem).relative_to(folder).as_posix(): text
            for parent in parents
            for stem, text in transcripts(parent).items()
        }


def is_manifest(address: str) -> bool:
    """Whether it is the name of a list, rather than of a folder."""
    return address.endswith(MANIFESTS)


def _read(path: Path) -> list[Line]:
    if path.suffix in (".jsonl", ".json"):
        return manifest.read_nemo(path)
    return [
        Line(f"{path}, line {number}", locate(path.parent, entry))
        for number, entry in read_lines(path)
    ]


def _locate(path: Path, folder: Path, base: str) -> str:
    """The address or path that a line means: it was read in `folder`, and belongs to `base`."""
    entry = path.relative_to(folder) if path.is_relative_to(folder) else path
    if SHORTENED.match(str(entry)):  # a Path makes s3:/a of s3://a
        return entry.as_posix().replace(":/", "://", 1)
    beside = path.is_relative_to(folder) or is_remote(base)
    return (
        f"{base}/{entry.as_posix()}" if base and beside and not entry.is_absolute() else str(entry)
    )


def _lengths(places: Sequence[str]) -> list[float | str]:
    """Seconds of each file, or why it has none."""
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        return list(pool.map(_length, places))


def _length(place: str) -> float | str:
    try:
        if not is_remote(place):
            return _measure(place)
        with explained(f"read {place}"), open_remote(place) as file:
            return _measure(file)
    except VqaudioError as error:
        return str(error).replace(STREAM, place)


def _measure(source: str | IO[bytes]) -> float:
    seconds = audio.info(source).seconds
    return audio.read(source).seconds if seconds is None else seconds
