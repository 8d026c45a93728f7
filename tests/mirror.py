"""A web server on this machine that breaks, lies and refuses as real ones do, and tiny archives."""

from __future__ import annotations

import io
import socket
import struct
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import soundfile

from vqaudio.corpora import download


class Answer(NamedTuple):
    """What the server does with one request, in place of what it should do."""

    status: int | None = None
    """An error, with no body."""
    stop_after: int | None = None
    """Bytes of the body, then the connection is closed."""
    reset: bool = False
    """The connection is closed as by a crash."""
    ranges: bool = True
    """The server knows Range."""
    shift: int = 0
    """Bytes between the start that was asked for and the one that is sent."""
    damage: bool = False
    """The first byte is another."""


class Request(NamedTuple):
    """What was asked for, and how many bytes of the body were sent."""

    path: str
    range: str | None
    sent: int


class Mirror(ThreadingHTTPServer):
    """Serves `files`; `answers` holds what to do with the next requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.files: dict[str, bytes] = {}
        self.answers: list[Answer] = []
        self.requests: list[Request] = []


class Handler(BaseHTTPRequestHandler):
    server: Mirror

    def do_GET(self) -> None:
        answer = self.server.answers.pop(0) if self.server.answers else Answer()
        asked = self.headers.get("Range") if answer.ranges else None
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        file = self.server.files.get(self.path, b"")
        body = file[start + answer.shift :]
        error = answer.status or (404 if not file else 416 if start >= len(file) else None)
        sent = 0 if error else len(body[: answer.stop_after])
        # Noted before it is sent: the client goes on before this thread does.
        self.server.requests.append(Request(self.path, self.headers.get("Range"), sent))
        if error:
            self.send_error(error)
            return
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(body)))
        if asked:
            span = f"bytes {start + answer.shift}-{len(file) - 1}/{len(file)}"
            self.send_header("Content-Range", span)
        self.end_headers()
        if answer.damage:
            body = bytes([body[0] ^ 1]) + body[1:]
        self.wfile.write(body[:sent])
        if answer.reset:
            time.sleep(0.05)  # for the client to read
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def running_mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """A server; pauses are short, and a proxy of the user's stays out of it."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download, "PAUSES", (0.01, 0.02))
    monkeypatch.setattr(download, "TIMEOUT", 5.0)
    with Mirror() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def tar_of(members: Mapping[tarfile.TarInfo, bytes], *, packing: str = "gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{packing}") as tar:
        for info, data in members.items():
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def pack(files: Mapping[str, bytes], name: str) -> bytes:
    """An archive of the kind that `name` says, .tar.gz, .tar.bz2 or .zip."""
    if not name.endswith(".zip"):
        packing = name.rpartition(".")[2]
        return tar_of({member(path): data for path, data in files.items()}, packing=packing)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for path, data in files.items():
            file.writestr(path, data)
    return buffer.getvalue()


def tone(*, seconds: float = 0.25, sample_rate: int = 16_000, kind: str = "FLAC") -> bytes:
    """A sound file."""
    buffer = io.BytesIO()
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    soundfile.write(buffer, 0.1 * np.sin(2 * np.pi * 200 * time), sample_rate, format=kind)
    return buffer.getvalue()
