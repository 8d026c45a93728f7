"""`vqaudio tokenize -` and `detokenize -`: sound and tokens as they come."""

from __future__ import annotations

import io
import os
import subprocess
import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from shell import PROGRAM, done, refused, vqaudio
from sounds import SAMPLE_RATE, babble

from vqaudio import Tokens, audio, load
from vqaudio.tokens import StreamReader


def wav(samples: np.ndarray, sample_rate: int = SAMPLE_RATE, **options: str) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, sample_rate, format="WAV", **options)
    return buffer.getvalue()


def unknown_length(data: bytes) -> bytes:
    """The header that a program writes which does not know how long it will go on."""
    start = data.index(b"data") + 4
    return data[:4] + b"\xff" * 4 + data[8:start] + b"\xff" * 4 + data[start + 4 :]


SPEECH = babble(0, 0, seconds=1.7)


@pytest.mark.parametrize("kind", ["wav", "endless", "flac", "24 bit", "stereo at 44.1 kHz"])
def test_a_stream_of_tokens_is_the_file_of_tokens(kind: str, tmp_path: Path) -> None:
    match kind:
        case "flac":
            buffer = io.BytesIO()
            soundfile.write(buffer, SPEECH, SAMPLE_RATE, format="FLAC")
            data = buffer.getvalue()
        case "24 bit":
            data = wav(SPEECH, subtype="PCM_24")
        case "stereo at 44.1 kHz":
            data = wav(np.stack([SPEECH, -0.5 * SPEECH], axis=1), 44_100)
        case _:
            data = wav(SPEECH)
    (tmp_path / "in").write_bytes(data)
    stream = done("tokenize", "-", stdin=unknown_length(data) if kind == "endless" else data)
    tokens = load().encode_file(tmp_path / "in")
    assert Tokens.from_bytes(stream.out, "stream") == tokens
    size = f"8 x {tokens.num_frames} codes, {tokens.seconds:.2f} s, 4000 bit/s"
    assert stream.err == f"- -> -: {size}\n"

    back = done("detokenize", "-", stdin=stream.out)
    load().decode_file(tokens, tmp_path / "back.wav")
    (tmp_path / "piped.wav").write_bytes(back.out)
    piped, whole = (audio.read(tmp_path / name).waveform for name in ("piped.wav", "back.wav"))
    assert piped.shape == whole.shape
    assert np.abs(piped - whole).max() <= 1.5 / 32768


def test_levels_and_formats(tmp_path: Path) -> None:
    two = done("tokenize", "-", "--levels", "2", "--out", "-", stdin=wav(SPEECH)).out
    assert Tokens.from_bytes(two, "stream").num_codebooks == 2
    assert len(audio.read(io.BytesIO(done("detokenize", "-", stdin=two).out)).waveform[0]) == len(
        SPEECH
    )
    npz = done("tokenize", "-", "--format", "npz", "--levels", "2", stdin=wav(SPEECH)).out
    assert Tokens.from_bytes(npz, "npz") == Tokens.from_bytes(two, "stream")
    (tmp_path / "in.wav").write_bytes(wav(SPEECH))
    done("tokenize", tmp_path / "in.wav", "--format", "vqs", "--levels", "2")
    assert Tokens.load(tmp_path / "in.vqs") == Tokens.from_bytes(two, "stream")


def test_tokens_come_before_the_sound_has_ended() -> None:
    """Another process: this one holds the pipe open, and reads what is there."""
    with subprocess.Popen(
        [*PROGRAM, "tokenize", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as program:
        assert program.stdin
        assert program.stdout
        data = unknown_length(wav(SPEECH))
        program.stdin.write(data)
        program.stdin.flush()
        reader = StreamReader(program.stdout)
        parts = iter(reader)
        assert next(parts).shape[1] > 0
        program.stdin.close()
        list(parts)
        assert reader.end is not None
        assert reader.end.num_samples == len(SPEECH)
    assert program.returncode == 0


def test_sound_that_is_cut_off_leaves_a_stream_without_an_end() -> None:
    cut = vqaudio("tokenize", "-", stdin=wav(SPEECH)[:-100])
    assert cut.code == 1
    assert "is truncated: 100 bytes of the sound" in cut.err
    back = vqaudio("detokenize", "-", stdin=cut.out)
    assert back.code == 1
    assert back.err.startswith("vqaudio: standard input cannot be used: it is cut off")


def test_what_came_before_a_cut_is_heard() -> None:
    stream = done("tokenize", "-", stdin=wav(SPEECH)).out
    tokens = Tokens.from_bytes(stream, "stream")
    cut = vqaudio("detokenize", "-", stdin=stream[:-10])  # all codes, and half of the end
    assert cut.code == 1
    heard = (len(cut.out) - 44) // 2
    assert heard == tokens.num_frames * tokens.hop_length


def test_a_stream_that_is_damaged_or_of_another_model() -> None:
    stream = done("tokenize", "-", stdin=wav(SPEECH)).out
    assert "it is cut off" in vqaudio("detokenize", "-", stdin=stream[:-3]).err
    assert "it is cut off" in refused("detokenize", "-", stdin=stream[:10])
    damaged = bytearray(stream)
    damaged[200] ^= 1
    assert "it is damaged" in vqaudio("detokenize", "-", stdin=bytes(damaged)).err
    tokens = replace(Tokens.from_bytes(stream, "stream"), model="0123456789abcdef")
    sentence = refused("detokenize", "-", stdin=tokens.to_bytes(".vqs"))
    assert "made by model 0123456789abcdef" in sentence


def test_no_sound_in_the_pipe() -> None:
    empty = wav(SPEECH[:0])
    assert "holds no samples" in refused("tokenize", "-", stdin=empty)
    assert "is empty" in refused("tokenize", "-", stdin=b"")
    listed = empty[:4] + (len(empty) + 4).to_bytes(4, "little") + empty[8:] + b"LIST\x04\0\0\0abcd"
    assert "holds no samples" in refused("tokenize", "-", stdin=listed)
    # A program that did not know the sizes, and sound follows.
    unknown = empty[:4] + b"\xff\xff\xff\xff" + empty[8:] + wav(SPEECH)[44:]
    stream = Tokens.from_bytes(done("tokenize", "-", stdin=unknown).out, "stream")
    assert stream.num_samples == len(SPEECH)


def test_wave_reads_what_is_written(tmp_path: Path) -> None:
    """The header of an unknown length is one that other programs take."""
    stream = done("tokenize", "-", stdin=wav(SPEECH)).out
    with wave.open(io.BytesIO(done("detokenize", "-", stdin=stream).out)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16000, 1, 2)
        assert len(file.readframes(10**6)) == 2 * len(SPEECH)


@pytest.mark.slow
def test_ten_minutes_take_no_more_memory_than_one() -> None:
    """Both directions, in processes of their own."""
    programs = f"{PROGRAM[0]} -c '{PROGRAM[2]}' tokenize - | {PROGRAM[0]} -c '{PROGRAM[2]}'"
    script = (
        "import resource, subprocess, sys\n"
        "sys.stdin = sys.stdin.buffer\n"
        f"subprocess.run({programs + ' detokenize - > /dev/null'!r}, shell=True, check=True)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
    )

    def peak(minutes: int) -> int:
        """KiB of the largest process."""
        header = unknown_length(wav(SPEECH))[: -2 * len(SPEECH)]
        minute = (3000 * np.resize(SPEECH, 60 * SAMPLE_RATE)).astype("<i2").tobytes()
        environment = {**os.environ, "OMP_NUM_THREADS": "2"}
        with subprocess.Popen(
            [PROGRAM[0], "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        ) as program:
            assert program.stdin
            assert program.stdout
            program.stdin.write(header)
            for _ in range(minutes):
                program.stdin.write(minute)
            program.stdin.close()
            return int(program.stdout.read())

    assert peak(10) < peak(1) + 8_000  # the sound alone has 18,000 more
