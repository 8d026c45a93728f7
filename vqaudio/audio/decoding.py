"""Containers and codecs: a path or a binary file -> blocks [n, C] at the rate of the source.

From the beginning or, by seeking, from anywhere: the same samples.

libsndfile reads wav, flac, ogg, opus, mp3 and more. What it refuses goes to PyAV (FFmpeg), an
optional dependency: m4a, aac, webm, G.722.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import numpy as np
import soundfile
from numpy.typing import NDArray

from vqaudio.audio.ogg import last_page_start, opus_begins_at_zero
from vqaudio.audio.piping import STREAMED_SIZE, Replay, open_piped_wav
from vqaudio.errors import AudioError

Source = str | os.PathLike[str] | IO[bytes]

# A third of a second at 44.1 kHz: small enough to say where a file breaks, and as fast as more.
READ_FRAMES = 16_384

# Formats without a header, which nobody can recognise by content.
RAW_FORMATS = {".g722": "g722"}

# How libsndfile notes that the samples of a wav, aiff, w64 or au end too early.
SHORTFALL = re.compile(r"^\s*(?:data|SSND|riff|Data Size)\s*: (\d+) \(should be (\d+)\)", re.M)

# Samples to decode, and drop, before those that are wanted after a jump. An mp3 frame uses bits of
# earlier frames: of the last 511 bytes, up to 11 frames of 576 or 7 of 1,152 at the lowest
# bitrates, and one more overlaps. Opus converges. What is not named needs none.
LEAD_IN = {
    "MPEG_LAYER_I": 11_520,
    "MPEG_LAYER_II": 11_520,
    "MPEG_LAYER_III": 11_520,
    "OPUS": 19_200,
}
AAC_LEAD_IN = 4_096  # a frame overlaps with the one before, and that may be one of 2,048
# What else mp4 holds, by FFmpeg's names; as AAC where it is not named.
AV_LEAD_IN = {"mp3": LEAD_IN["MPEG_LAYER_III"], "opus": LEAD_IN["OPUS"]}


class AudioInfo(NamedTuple):
    """What a file says about itself."""

    sample_rate: int  # Hz
    num_channels: int
    num_samples: int | None  # per channel; None where the container does not say

    @property
    def seconds(self) -> float | None:
        return None if self.num_samples is None else self.num_samples / self.sample_rate


class Decoder(NamedTuple):
    name: str  # for messages
    info: AudioInfo
    # (start, stop) -> blocks [n, C], n >= 1, of the samples from start on, up to stop or (None) to
    # the end. To be called once.
    blocks: Callable[[int, int | None], Iterator[NDArray[np.float32]]]


@contextmanager
def open_audio(source: Source) -> Iterator[Decoder]:
    """Opens `source` with the first library that reads it, and closes what was opened.

    Raises:
        AudioError: nothing there, empty, or not audio; while iterating, damaged.
    """
    with ExitStack() as stack:
        if not isinstance(source, (str, os.PathLike)) and not source.seekable():
            pipe = Replay(source)
            if (piped := open_piped_wav(pipe)) is not None:
                info = AudioInfo(piped.sample_rate, piped.num_channels, piped.num_samples)
                yield Decoder(pipe.name, info, piped.blocks)
                return
            source = cast(IO[bytes], pipe)
        name, file, handle = stack.enter_context(_open_file(source))
        raw_format = RAW_FORMATS.get(Path(name).suffix.lower())
        refusal = f"{raw_format} has no header"
        if raw_format is None:
            try:
                sound = stack.enter_context(_ForwardSound(handle))
            except (soundfile.SoundFileError, TypeError) as error:  # TypeError: a file named .raw
                refusal = _sentence(error)
            else:
                _refuse_truncated(name, sound)
                blocks = partial(_soundfile_blocks, name, file, sound)
                yield Decoder(name, _soundfile_info(sound), blocks)
                return
        file.seek(0)
        yield _open_av(name, file, raw_format, refusal, stack)


class _ForwardSound(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """A SoundFile that jumps only when told to.

    soundfile jumps to where it already is after every read of a seekable file. In an mp3 that jump
    resets the decoder, and the next 10 to 100 ms come out wrong, after every read.
    """

    def seekable(self) -> bool:
        return False

    def jump(self, start: int, file: IO[bytes]) -> int:
        """Jumps to sample `start` or, where it takes more to decode it, before; returns where to.

        Stays at the beginning of what libsndfile cannot jump in. `file` is what the sound is in.
        """
        if not super().seekable() or self.frames >= 2**62:  # it cannot find its way without length
            return 0
        target = max(start - LEAD_IN.get(self.subtype, 0), 0)
        if not target:
            return 0
        if self.subtype == "OPUS" and not opus_begins_at_zero(file, self.frames, self.samplerate):
            return 0
        if self.subtype == "VORBIS":
            target = min(target, max(last_page_start(file) - 1, 0))
        return int(self.seek(target)) if target else 0


class _File(NamedTuple):
    name: str  # for messages
    file: IO[bytes]  # seekable, at its beginning
    # For libsndfile: the path where there is one. It reads a Python file through callbacks, and an
    # exception in a callback, such as Ctrl-C, is printed and forgotten.
    handle: bytes | IO[bytes]


@contextmanager
def _open_file(source: Source) -> Iterator[_File]:
    with ExitStack() as stack:
        if isinstance(source, (str, os.PathLike)):
            name = os.fspath(source)
            file = stack.enter_context(_open_path(name))
        else:
            name = str(getattr(source, "name", "the audio stream"))
            file = source
        # As bytes, because a file name need not be text, and soundfile insists that it is.
        handle: bytes | IO[bytes] = file if file is source else os.fsencode(name)
        if not file.seekable():
            # A pipe. Decoders jump (to the size of a flac, to the index at the end of an m4a), so
            # it is copied first: to the disk, because ten hours do not belong in memory.
            pipe = file
            handle = file = stack.enter_context(tempfile.TemporaryFile())
            shutil.copyfileobj(pipe, file)
        if file.seek(0, os.SEEK_END) == 0:
            raise AudioError(f"{name} is empty (0 bytes); check where it came from")
        file.seek(0)
        yield _File(name, file, handle)


def _open_path(name: str) -> IO[bytes]:
    try:
        return open(name, "rb")
    except FileNotFoundError:
        raise AudioError(f"{name} does not exist; check the name") from None
    except IsADirectoryError:
        raise AudioError(f"{name} is a folder; name an audio file") from None
    except OSError as error:
        raise AudioError(f"cannot read {name}: {error.strerror}; check the file") from error


def _refuse_truncated(name: str, sound: _ForwardSound) -> None:
    """Raises AudioError where the header promises more sound than the file has.

    libsndfile reads what is there, and notes the promise in its log, for the formats that store
    plain samples. A cut mp3 or ogg looks like a shorter one; a cut flac fails while it is read.
    """
    for promised, there in SHORTFALL.findall(sound.extra_info):
        if int(there) < int(promised) < STREAMED_SIZE:
            raise AudioError(
                f"{name} is truncated: its header promises {promised} bytes of sound, {there} are "
                "there; fetch it again"
            )


def _soundfile_info(sound: _ForwardSound) -> AudioInfo:
    # libsndfile says 2^63 - 1 where it does not know.
    num_samples = sound.frames if sound.frames < 2**62 else None
    return AudioInfo(sound.samplerate, sound.channels, num_samples)


def _soundfile_blocks(
    name: str, file: IO[bytes], sound: _ForwardSound, start: int, stop: int | None
) -> Iterator[NDArray[np.float32]]:
    if start and start >= sound.frames:
        return
    position = 0
    try:
        position = sound.jump(start, file) if start else 0
        while stop is None or position < stop:
            wanted = READ_FRAMES if stop is None else min(READ_FRAMES, stop - position)
            block = sound.read(wanted, dtype="float32", always_2d=True)
            if not len(block):
                return
            position += len(block)
            if position > start:
                yield block[-(position - start) :]
    except soundfile.SoundFileError as error:
        raise _damaged(name, position / sound.samplerate, error) from error


def _open_av(
    name: str, file: IO[bytes], raw_format: str | None, refusal: str, stack: ExitStack
) -> Decoder:
    """Opens with PyAV what libsndfile refused, for the reason `refusal`."""
    try:
        import av
    except ImportError:
        raise AudioError(
            f"libsndfile cannot read {name} ({refusal}); "
            "if it is m4a, aac, webm or G.722: pip install 'vqaudio[av]'"
        ) from None
    try:
        # A playlist in disguise must not make FFmpeg open other files or addresses.
        container = stack.enter_context(
            av.open(file, "r", format=raw_format, options={"protocol_whitelist": "none"})
        )
        if not container.streams.audio:
            raise ValueError("no audio track")
        stream = container.streams.audio[0]
        frames = container.decode(stream)
        # The header of an AAC file may promise half the rate that the decoder delivers.
        first = next(frames, None)
    except (av.FFmpegError, ValueError) as error:
        raise AudioError(
            f"{name} is not audio that libsndfile ({refusal}) or FFmpeg ({_sentence(error)}) "
            "can read; convert it to wav"
        ) from error
    if first is None:
        raise AudioError(f"{name} holds no samples; check where it came from")
    info = AudioInfo(first.sample_rate, first.layout.nb_channels, None)
    track = _AvTrack(container, stream, first, frames)
    return Decoder(name, info, partial(_av_blocks, name, info, track))


class _AvTrack(NamedTuple):
    """The audio of a container that is open, and has given its first frame."""

    container: Any
    stream: Any
    first: Any
    rest: Iterator[Any]

    def jump(self, start: int) -> tuple[int, Iterator[Any]]:
        """Jumps to a sample before `start`; returns which, and the frames from there on.

        Only in mp4 and m4a: their index knows the place of every frame, in units of a sample.
        Elsewhere the times are rounded (webm) or guessed, or decoding takes all that was (G.722).
        """
        tick = self.stream.time_base * self.first.sample_rate  # samples per unit of time
        exact = "mp4" in self.container.format.name and tick <= 1 and self.first.pts is not None
        codec = self.stream.codec_context.name.removeprefix("lib").removesuffix("float")
        lead_in = AV_LEAD_IN.get(codec, AAC_LEAD_IN)
        if not exact or start <= lead_in:
            return 0, chain([self.first], self.rest)
        self.container.seek(self.first.pts + int((start - lead_in) / tick), stream=self.stream)
        frames = self.container.decode(self.stream)
        first = next(frames, None)
        if first is None:
            return start, iter(())
        position = round((first.pts - self.first.pts) * tick)
        if position > start:
            raise ValueError("its index names a wrong place")
        return position, chain([first], frames)


def _av_blocks(
    name: str, info: AudioInfo, track: _AvTrack, start: int, stop: int | None
) -> Iterator[NDArray[np.float32]]:
    import av

    to_float = av.AudioResampler(format="fltp")  # keeps rate and channels
    position = 0
    try:
        position, frames = track.jump(start)
        for frame in chain(frames, [None]):  # None: flush
            seconds = position / info.sample_rate
            if frame and (frame.sample_rate, frame.layout.nb_channels) != info[:2]:
                raise AudioError(
                    f"{name} changes its sample rate or channels after {seconds:.2f} s; "
                    "split or convert it"
                )
            for part in to_float.resample(frame):
                block = np.ascontiguousarray(part.to_ndarray().T, np.float32)
                position += len(block)
                wanted = block[-(position - start) :] if position > start else block[:0]
                if stop is not None and position >= stop:
                    wanted = wanted[: len(wanted) - (position - stop)]
                if len(wanted):
                    yield wanted
                if stop is not None and position >= stop:
                    return
    except (av.FFmpegError, ValueError) as error:
        raise _damaged(name, position / info.sample_rate, error) from error


def _damaged(name: str, seconds: float, error: Exception) -> AudioError:
    return AudioError(
        f"{name} is damaged after {seconds:.2f} s ({_sentence(error)}); fetch or encode it again"
    )


def _sentence(error: Exception) -> str:
    """What a library says, without its decoration."""
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return str(text).strip().rstrip(".")
