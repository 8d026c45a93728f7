"""Writing: mono float32 blocks -> 16-bit wav or flac, or ogg; whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from vqaudio.audio.resampling import Resampler, check_sample_rate
from vqaudio.errors import AudioError
from vqaudio.files import atomic

# suffix -> libsndfile's format and subtype
WRITE_FORMATS = {
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".wav": ("WAV", "PCM_16"),
}

# The size field of a wav has 32 bits; some room is left for its header.
WAV_MAX_SAMPLES = (2**32 - 4096) // 2

OGG_MAX_SAMPLE_RATE = 200_000  # Hz; libsndfile's Vorbis encoder crashes above it

# libsndfile's Vorbis encoder puts a whole write on the stack and crashes on long ones.
WRITE_FRAMES = 65_536

DISK_FULL = "; is the disk full?"
"""libsndfile keeps the system's reason for a failed write to itself."""
SYSTEM_ERROR = 2
"""libsndfile's code for what the system refused."""


def write(path: str | os.PathLike[str], waveform: NDArray[np.float32], sample_rate: int) -> int:
    """Writes a waveform [1, S] in the format of the suffix; returns the number of clipped samples.

    Raises:
        AudioError: see `AudioWriter`.
    """
    with AudioWriter(path, sample_rate) as writer:
        if waveform.ndim != 2:
            raise AudioError(f"a waveform has the shape [1, S], not {list(waveform.shape)}")
        writer.write(waveform)
    return writer.num_clipped


def write_blocks(
    path: str | os.PathLike[str],
    blocks: Iterable[NDArray[np.float32]],
    sample_rate: int,
    *,
    target_rate: int,
    num_samples: int,
) -> None:
    """Writes blocks [n] at `target_rate` Hz, cut to `num_samples` of that rate; constant memory.

    Raises:
        AudioError: see `AudioWriter`.
    """
    resampler = Resampler(sample_rate, target_rate)
    remaining = num_samples
    with AudioWriter(path, target_rate) as writer:
        for block in blocks:
            resampled = resampler.push(block)[:remaining]
            writer.write(resampled)
            remaining -= len(resampled)
        writer.write(resampler.finish()[:remaining])


class AudioWriter:
    """Writes one mono file block by block, in constant memory; a context manager.

    The file appears under its name when the `with` block ends without an error. Samples are rounded
    to 16 bits, so that what was read from a 16-bit file is written unchanged.

    Raises:
        AudioError: unknown suffix, impossible sample rate, samples that are not finite, no samples
            at all, more than 4 GiB for a wav.
        VqaudioError: the file cannot be created or renamed (see `vqaudio.files.atomic`).
    """

    num_samples: int
    num_clipped: int  # samples outside of [-1, 1], which were set to its ends

    def __init__(self, path: str | os.PathLike[str], sample_rate: int) -> None:
        self.path = Path(path)
        self.sample_rate = check_sample_rate(sample_rate, "the sample rate to write")
        self.num_samples = self.num_clipped = 0
        if self.path.suffix.lower() not in WRITE_FORMATS:
            allowed = ", ".join(WRITE_FORMATS)
            raise AudioError(f"cannot write {self.path}: its suffix must be one of {allowed}")
        if self.path.suffix.lower() == ".ogg" and sample_rate > OGG_MAX_SAMPLE_RATE:
            raise AudioError(
                f"cannot write {self.path}: ogg ends at {OGG_MAX_SAMPLE_RATE} Hz, the sound has "
                f"{sample_rate}; write .flac or .wav instead"
            )

    def __enter__(self) -> AudioWriter:
        format_, subtype = WRITE_FORMATS[self.path.suffix.lower()]
        with ExitStack() as stack:
            self._temporary = stack.enter_context(atomic(self.path))
            self._temporary.touch()  # a place that cannot be written is for atomic to explain
            try:
                self._sound: Any = soundfile.SoundFile(
                    os.fsencode(self._temporary), "w", self.sample_rate, 1, subtype, format=format_
                )
            except soundfile.SoundFileError as error:
                raise self._failed(error, "" if _is_refusal(error) else DISK_FULL) from error
            stack.push(self._finish)  # runs before atomic renames or removes
            self._exit = stack.pop_all()
        return self

    def write(self, block: NDArray[np.float32]) -> None:
        """Appends a block [n] or [1, n]."""
        block = np.asarray(block)
        if block.ndim == 2 and block.shape[0] == 1:
            block = block[0]
        if block.ndim != 1:
            raise AudioError(f"a block has the shape [n] or [1, n], not {list(block.shape)}")
        for start in range(0, len(block), WRITE_FRAMES):
            self._write(block[start : start + WRITE_FRAMES])

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._exit.__exit__(kind, error, traceback)

    def _write(self, block: NDArray[np.float32]) -> None:
        finite = np.isfinite(block)
        if not finite.all():
            seconds = (self.num_samples + int(np.argmin(finite))) / self.sample_rate
            raise AudioError(
                f"cannot write {self.path}: the sample at {seconds:.4f} s is NaN or infinite"
            )
        if self._sound.format == "WAV" and self.num_samples + len(block) > WAV_MAX_SAMPLES:
            raise AudioError(f"cannot write {self.path}: a wav ends at 4 GiB; write .flac instead")
        self.num_clipped += int(np.count_nonzero(np.abs(block) > 1))
        try:
            self._sound.write(to_int16(block))
        except (soundfile.SoundFileError, AssertionError) as error:  # it asserts complete writes
            raise self._failed(error) from error
        self.num_samples += len(block)

    def _finish(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._sound.close()
            if kind is not None:
                return
            if self.num_samples == 0:
                raise AudioError(f"cannot write {self.path}: there are no samples to write")
            # libsndfile keeps quiet about some failed writes (Vorbis on a full disk), so the file
            # itself is asked.
            if soundfile.info(os.fsencode(self._temporary)).frames != self.num_samples:
                raise self._failed(None)
        except soundfile.SoundFileError as failure:
            if kind is None:  # else the first error is the one to tell
                raise self._failed(failure) from failure

    def _failed(self, error: Exception | None, guess: str = DISK_FULL) -> AudioError:
        text = str(getattr(error, "error_string", error or "")).strip().rstrip(".")
        reason = text or "the file is incomplete"
        return AudioError(f"cannot write {self.path}: {reason}{guess}")


def to_int16(block: NDArray[np.float32]) -> NDArray[np.int16]:
    """Rounded and clipped.

    Here and not in libsndfile, which truncates: half a step of bias, and files that change when
    they are read and written again.
    """
    integers: NDArray[np.int16] = np.rint(block * 32768.0).clip(-32768, 32767).astype(np.int16)
    return integers


def _is_refusal(error: soundfile.SoundFileError) -> bool:
    """Whether libsndfile will not write such a file, such as a flac of an odd sample rate."""
    return getattr(error, "code", SYSTEM_ERROR) != SYSTEM_ERROR
