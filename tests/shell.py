"""The command line, called in this process: importing torch costs three seconds a call."""

from __future__ import annotations

import io
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import soundfile
from sounds import SAMPLE_RATE, babble

from vqaudio.checkpoint import Model, load_model
from vqaudio.cli import main

PROGRAM = [sys.executable, "-c", "from vqaudio.cli import main; main()"]
"""The command line as another process."""


class Result(NamedTuple):
    code: int
    out: bytes
    err: str

    @property
    def lines(self) -> list[str]:
        """Of standard output."""
        return self.out.decode().splitlines()


class Pipe(io.BytesIO):
    """Bytes that come once, as from another program."""

    def seekable(self) -> bool:
        return False

    def peek(self, size: int) -> bytes:
        return self.getvalue()[self.tell() :][:size]


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


@cache
def _load(path: Path, _changed: int) -> Model:
    return load_model(path)


def load_once(path: Path) -> Model:
    """As `load_model`; checking a fingerprint again and again would take most of the time."""
    return _load(path, path.stat().st_mtime_ns if path.exists() else 0)


def vqaudio(*arguments: object, stdin: bytes = b"", terminal: tuple[str, ...] = ()) -> Result:
    """Run `vqaudio arguments...`; the streams named in `terminal` are no files but a terminal."""
    buffers = {"stdin": Pipe(stdin), "stdout": io.BytesIO(), "stderr": io.BytesIO()}
    streams = {
        name: (Terminal if name in terminal else io.TextIOWrapper)(buffer, encoding="utf-8")
        for name, buffer in buffers.items()
    }
    code = 0
    with (
        patch.multiple(sys, argv=["vqaudio", *map(str, arguments)], **streams),
        patch("vqaudio.checkpoint.load_model", load_once),
    ):
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
    for name in ("stdout", "stderr"):
        streams[name].flush()
    return Result(code, buffers["stdout"].getvalue(), buffers["stderr"].getvalue().decode())


def done(*arguments: object, stdin: bytes = b"") -> Result:
    """As `vqaudio`, for what must succeed."""
    result = vqaudio(*arguments, stdin=stdin)
    assert result.code == 0, result.err
    return result


def refused(*arguments: object, stdin: bytes = b"") -> str:
    """As `vqaudio`, for what must fail: the one sentence that it says, without "vqaudio: "."""
    result = vqaudio(*arguments, stdin=stdin)
    assert result.code == 1
    assert result.out == b""
    assert result.err.startswith("vqaudio: ")
    assert result.err.count("\n") == 1
    assert result.err.endswith("\n")
    return result.err[len("vqaudio: ") : -1]


def listing(folder: Path) -> dict[str, bytes | None]:
    """All that lies below `folder`, hidden files too, with its content."""
    paths = sorted(folder.rglob("*"))
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in paths
    }


def speak(path: Path, *, speaker: int = 0, seconds: float = 0.5) -> Path:
    """Write a little speech, 16 kHz mono; makes folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, babble(speaker, 0, seconds=seconds), SAMPLE_RATE)
    return path
