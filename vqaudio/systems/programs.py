"""Codecs whose encoder and decoder are programs: samples through a pipe, packets back."""

from __future__ import annotations

import io
import shutil
import subprocess
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from time import perf_counter
from typing import NamedTuple, Protocol

import numpy as np

from vqaudio.errors import MissingError, VqaudioError
from vqaudio.systems.carrying import checked, fit, to_rate
from vqaudio.systems.system import Transmission, Waveform


class Packets(NamedTuple):
    """What an encoder wrote."""

    data: bytes
    """A file of the codec, headers included."""
    num_bits: int
    """Of it, those that describe the speech: of the packets that its samples fill, not of those
    that silence behind it fills."""


class ProgramCoder(Protocol):
    """An encoder and a decoder at one bitrate, at the sample rate of their own."""

    sample_rate: int
    """Hz."""
    delay: int
    """Samples at `sample_rate` that the decoder's sound comes late."""
    about: dict[str, str]

    def encode(self, waveform: Waveform) -> Packets:
        """[S], S at least 1: the speech. Silence that brings out its end is the coder's to add."""
        ...

    def decode(self, packets: Packets) -> Waveform:
        """At least S + delay samples."""
        ...


class ProgramSystem:
    """A `ProgramCoder` as a System. Its times include the start of the programs."""

    def __init__(
        self, name: str, coder: ProgramCoder, *, label: str, family: str, sample_rate: int
    ) -> None:
        """`sample_rate` (Hz) is that of the evaluation."""
        self.name = name
        self.label = label
        self.family = family
        self.delay = round(coder.delay * sample_rate / coder.sample_rate)
        self.codebook_sizes: tuple[int, ...] = ()
        self.about = {**coder.about, "sample rate inside": f"{coder.sample_rate} Hz"}
        self.coder = coder

    def prepare(self, waveforms: Sequence[Waveform], sample_rate: int) -> None:
        """Nothing to do."""

    def transmit(self, waveform: Waveform, sample_rate: int) -> Transmission:
        """Raises AudioError; VqaudioError when a program fails, with its last words."""
        coder, waveform = self.coder, checked(waveform, sample_rate)
        started = perf_counter()
        inside = to_rate(waveform, sample_rate, coder.sample_rate)
        packets = coder.encode(inside)
        encoded = perf_counter()
        late = coder.decode(packets)
        decoded = to_rate(late[coder.delay :], coder.sample_rate, sample_rate)
        done = perf_counter()
        return Transmission(
            fit(decoded, len(waveform)), packets.num_bits, encoded - started, done - encoded
        )


def find_program(name: str, *, package: str) -> str:
    """Its path; raises MissingError naming the Debian package that has it."""
    path = shutil.which(name)
    if path is None:
        raise MissingError(f"there is no program {name} here: apt install {package}")
    return path


def run(command: Sequence[str], data: bytes = b"") -> bytes:
    """What the program writes when it is fed `data`; raises VqaudioError when it fails."""
    program = Path(command[0]).name
    try:
        done = subprocess.run(command, input=data, capture_output=True, check=False)
    except OSError as error:
        raise VqaudioError(f"{program} does not start: {error.strerror}") from None
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "no message")
        raise VqaudioError(f"{program} failed with {done.returncode}: {last}")
    return done.stdout


@lru_cache
def first_line(program: str, option: str) -> str:
    """Of what the program says of itself."""
    return (run([program, option]).decode(errors="replace").splitlines() or ["unknown"])[0]


def to_pcm(waveform: Waveform) -> bytes:
    """[S] -> 16 bit little-endian; what is louder than full scale is clipped."""
    return np.clip(np.round(waveform * 32768), -32768, 32767).astype("<i2").tobytes()


def from_pcm(data: bytes) -> Waveform:
    """16 bit little-endian -> [S]."""
    return np.frombuffer(data, "<i2").astype(np.float32) / np.float32(32768)


def ogg_packets(data: bytes) -> list[int]:
    """Bytes of each packet of sound in an Ogg file; headers, tags and page headers left out."""
    import av  # optional, see check_ogg

    with av.open(io.BytesIO(data), "r", format="ogg") as container:
        return [packet.size for packet in container.demux(audio=0)]


def check_ogg(codec: str) -> None:
    """Raises MissingError where `ogg_packets` cannot work; `codec` is who needs it."""
    try:
        import av  # noqa: F401
    except ImportError:
        raise MissingError(
            f"{codec} needs PyAV to count its bits: pip install 'vqaudio[av]'"
        ) from None
