"""A codec of others by its name, `hf:facebook/encodec_24khz`, or by the folder of its files."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from vqaudio.errors import MissingError, ModelError
from vqaudio.files import sha256_of
from vqaudio.hub import PEER_PREFIX, fetch, is_repository
from vqaudio.peers.codec import PeerCodec
from vqaudio.peers.dac import Dac
from vqaudio.peers.encodec import Encodec
from vqaudio.peers.mimi import Mimi
from vqaudio.peers.network import Network
from vqaudio.peers.snac import Snac
from vqaudio.peers.xcodec import XCodec

KINDS: dict[str, type[Network]] = {"encodec": Encodec, "dac": Dac, "mimi": Mimi, "xcodec": XCodec}
"""By the model_type of config.json."""

CONFIG = "config.json"
SNAC_KEYS = {"sampling_rate", "encoder_rates", "vq_strides"}
"""SNAC's own config.json names no type."""


class Peer(NamedTuple):
    """A codec of others, on CPU, in evaluation mode, float32."""

    codec: PeerCodec
    fingerprint: str
    """16 hexadecimal digits of its files, weights and configuration."""
    card: dict[str, Any]


class Files(NamedTuple):
    """Where a codec lies, and what it is."""

    kind: type[Network]
    config: Path
    weights: Path


def load_peer(name: str) -> Peer:
    """The codec `hf:REPOSITORY`, from the local cache or the hub, or `hf:FOLDER`.

    Raises MissingError when its files or its library are not here, ModelError for something else.
    """
    source = name.removeprefix(PEER_PREFIX)
    files = find_files(source)
    return Peer(load_codec(files), fingerprint_of(files), {"source": source})


def load_codec(files: Files) -> PeerCodec:
    """Raises MissingError, ModelError."""
    return PeerCodec(files.kind.load(files.config.parent))


def find_files(source: str) -> Files:
    """The files of a folder, or of a repository of the hub.

    Raises MissingError when they are not to be had, ModelError when they are of no known kind.
    """
    (config,) = _find(source, CONFIG)
    kind = _kind_of(config, source)
    config, weights = _find(source, CONFIG, kind.weights)  # of one version
    return Files(kind, config, weights)


def fingerprint_of(files: Files) -> str:
    """16 digits of SHA-256 over what `sha256sum config.json WEIGHTS` prints of the files."""
    lines = [f"{_sha256_of(path)}  {path.name}\n" for path in (files.config, files.weights)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:16]


def _find(source: str, *files: str) -> list[Path]:
    folder = Path(source)
    if folder.is_dir():
        needed = " and ".join(files)
        for name in files:
            if not (folder / name).is_file():
                raise MissingError(f"{source} lacks {name}: give a folder with {needed}")
        return [folder / name for name in files]
    if not is_repository(source):
        raise MissingError(
            f"there is no folder {source}: give one, or the name of a repository such as "
            f"{PEER_PREFIX}facebook/encodec_24khz"
        )
    return fetch(source, files)


def _kind_of(path: Path, source: str) -> type[Network]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{source} has no {CONFIG} that can be read: {error}") from None
    if isinstance(config, dict):
        if kind := KINDS.get(str(config.get("model_type"))):
            return kind
        if config.keys() >= SNAC_KEYS:
            return Snac
        came = f"of type {config['model_type']}" if "model_type" in config else "of no type"
    else:
        came = "no configuration"
    raise ModelError(f"{source} is {came}: known are {', '.join(KINDS)} and SNAC")


def _sha256_of(path: Path) -> str:
    facts = path.stat()
    return _hash(str(path), facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=64)
def _hash(path: str, _changed: int, _size: int) -> str:
    """A file that stays as it is is read once a process."""
    return sha256_of(path)
