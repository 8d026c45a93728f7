"""Files in and out: lengths, alignment, independence of blocks, and every refusal."""

from __future__ import annotations

import errno
import io
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vqaudio import audio
from vqaudio.audio.decoding import READ_FRAMES
from vqaudio.errors import AudioError, VqaudioError

RATES = [8000, 11025, 16000, 22050, 24000, 44100, 48000]
LENGTHS = [1, 2, 3, 159, 160, 161, 319, 320, 321, 44101]

Waveform = NDArray[np.float32]


def noise(num_samples: int, seed: int = 0) -> Waveform:
    """[1, S], within +-0.5"""
    generator = np.random.default_rng(seed)
    return generator.uniform(-0.5, 0.5, (1, num_samples)).astype(np.float32)


def sine(num_samples: int, sample_rate: int, frequency: float = 440.0) -> Waveform:
    seconds = np.arange(num_samples) / sample_rate
    return np.float32(0.4) * np.sin(2 * np.pi * frequency * seconds).astype(np.float32)[None]


# Resampling


@pytest.mark.parametrize("target", [16000, 24000])
@pytest.mark.parametrize("source", [*RATES, 7919, 384000])
def test_resampling_gives_exactly_the_ceiling(source: int, target: int) -> None:
    for length in LENGTHS:
        expected = -(-length * target // source)
        assert audio.resample(noise(length), source, target).shape == (1, expected)


@settings(max_examples=40, deadline=None)
@given(
    source=st.sampled_from([*RATES, 44099]),
    target=st.sampled_from(RATES),
    cuts=st.lists(st.integers(0, 3000), min_size=1, max_size=12),
)
def test_resampling_does_not_depend_on_the_blocks(
    source: int, target: int, cuts: list[int]
) -> None:
    waveform = noise(sum(cuts))
    resampler = audio.Resampler(source, target)
    parts = [resampler.push(part) for part in np.split(waveform[0], np.cumsum(cuts)[:-1])]
    streamed = np.concatenate([*parts, resampler.finish()])
    assert np.array_equal(streamed, audio.resample(waveform, source, target)[0])
    assert resampler.source_num_samples == sum(cuts)
    assert resampler.num_samples == len(streamed)


@pytest.mark.parametrize("target", [8000, 16000, 24000])
@pytest.mark.parametrize("source", RATES)
def test_resampling_keeps_time_and_level(source: int, target: int) -> None:
    output = audio.resample(sine(source, source), source, target)
    inside = slice(target // 50, -target // 50)  # the ends ring, the signal starts suddenly
    assert np.abs(output - sine(target, target))[0, inside].max() < 1e-4


def test_resampling_refuses_what_is_no_waveform() -> None:
    with pytest.raises(AudioError, match=r"shape \[1, S\], not \[2, 5\]"):
        audio.resample(np.zeros((2, 5), np.float32), 16000, 8000)
    with pytest.raises(AudioError, match="target rate is 1 Hz; a whole number from 1,000"):
        audio.resample(noise(5), 16000, 1)


# Reading and writing


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
@pytest.mark.parametrize("length", LENGTHS)
def test_sixteen_bits_survive_a_round_trip(tmp_path: Path, suffix: str, length: int) -> None:
    path = tmp_path / f"a{suffix}"
    integers = np.random.default_rng(0).integers(-32768, 32768, (1, length), np.int16)
    waveform = integers.astype(np.float32) / np.float32(32768)
    assert audio.write(path, waveform, 16000) == 0
    back = audio.read(path)
    assert back.sample_rate == 16000
    assert back.seconds == length / 16000
    assert back.waveform.dtype == np.float32
    assert np.array_equal(back.waveform, waveform)
    assert audio.info(path) == (16000, 1, length)
    assert audio.info(path).seconds == length / 16000


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.wav", {"subtype": "FLOAT"}),
        ("a.flac", {}),
        ("a.ogg", {}),
        ("a.opus", {"format": "OGG", "subtype": "OPUS"}),
        ("a.mp3", {}),
    ],
)
def test_blocks_of_any_length_give_the_same_samples(
    tmp_path: Path, name: str, options: dict[str, str]
) -> None:
    path = tmp_path / name
    # 24 kHz, the one rate that all five formats know; two channels whose mean is the sine.
    left = 1.5 * sine(50001, 24000)[0]
    soundfile.write(path, np.stack([left, left / 3], axis=1), 24000, **options)
    whole = audio.read(path, sample_rate=16000).waveform[0]
    for block_seconds in (0.0013, 0.0997, 1.0, 60.0):
        with audio.read_blocks(path, sample_rate=16000, block_seconds=block_seconds) as stream:
            blocks = list(stream)
        assert {len(block) for block in blocks[:-1]} <= {round(block_seconds * 16000)}
        assert np.array_equal(np.concatenate(blocks), whole)
        assert stream.source.num_channels == 2
        assert stream.source.sample_rate == 24000
        assert stream.source_num_samples == 50001
        assert stream.num_samples == len(whole) == 33334
    assert np.abs(whole - sine(33334, 16000)[0])[500:-500].max() < 0.05  # lossy, but aligned


@pytest.mark.parametrize("source", RATES)
def test_a_file_and_an_array_give_the_same_samples(tmp_path: Path, source: int) -> None:
    path = tmp_path / "a.wav"
    for length in (1, 2, 160, 44101):
        soundfile.write(path, noise(length)[0], source, subtype="FLOAT")
        for target in (16000, 24000):
            expected = audio.resample(noise(length), source, target)
            assert np.array_equal(audio.read(path, sample_rate=target).waveform, expected)


@pytest.mark.parametrize("rate", [16000, 24000, 44100, 48000])
def test_an_mp3_has_no_holes_between_reads(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "a.mp3"
    soundfile.write(path, sine(3 * READ_FRAMES + 7, rate)[0], rate)
    whole, _ = soundfile.read(path, dtype="float32")  # in one read
    np.testing.assert_allclose(audio.read(path).waveform[0], whole, atol=1e-6)


def test_the_downmix_is_the_mean(tmp_path: Path) -> None:
    channels = np.stack([noise(1000, seed)[0] for seed in range(3)], axis=1)
    soundfile.write(tmp_path / "a.wav", channels, 16000, subtype="FLOAT")
    waveform = audio.read(tmp_path / "a.wav").waveform
    np.testing.assert_allclose(waveform[0], channels.mean(axis=1), atol=1e-7)


def test_a_stream_closes_its_file_and_ends(tmp_path: Path) -> None:
    audio.write(tmp_path / "a.wav", noise(50000), 16000)
    before = len(os.listdir("/proc/self/fd"))
    stream = audio.read_blocks(tmp_path / "a.wav", block_seconds=0.5)
    assert len(next(iter(stream))) == 8000
    stream.close()
    stream.close()
    assert list(stream) == []
    assert len(list(audio.read_blocks(tmp_path / "a.wav", block_seconds=1))) == 4
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_writer_in_blocks_equals_one_write(tmp_path: Path) -> None:
    waveform = sine(200001, 24000)
    for suffix in audio.WRITE_FORMATS:
        with audio.AudioWriter(tmp_path / f"blocks{suffix}", 24000) as writer:
            writer.write(waveform[:, :1])
            writer.write(waveform[0, 1:777])
            writer.write(waveform[0, 777:777])
            writer.write(waveform[0, 777:])
        assert writer.num_samples == 200001
        audio.write(tmp_path / f"whole{suffix}", waveform, 24000)
        blocks, whole = (audio.read(tmp_path / f"{name}{suffix}") for name in ("blocks", "whole"))
        # A lossy encoder may decide differently by what it sees at once.
        step = 0.05 if suffix == ".ogg" else 0
        assert np.abs(blocks.waveform - whole.waveform).max() <= step
        assert np.abs(whole.waveform - waveform).max() < step + 1 / 65000


def test_clipped_samples_are_counted_not_wrapped(tmp_path: Path) -> None:
    waveform = np.array([[0.0, 1.0, -1.0, 1.0001, -7.0, 0.99999]], np.float32)
    assert audio.write(tmp_path / "a.wav", waveform, 16000) == 2
    top = 32767 / 32768
    assert audio.read(tmp_path / "a.wav").waveform.tolist() == [[0, top, -1, top, -1, top]]


# Sources other than a plain path


def test_a_pipe_and_a_file_object_equal_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    audio.write(path, noise(50001), 22050)
    expected = audio.read(path, sample_rate=16000).waveform
    memory = io.BytesIO(path.read_bytes())
    memory.seek(17)
    assert np.array_equal(audio.read(memory, sample_rate=16000).waveform, expected)
    assert not memory.closed
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as pipe:

        def feed() -> None:
            with os.fdopen(writer, "wb") as end:
                end.write(path.read_bytes())

        thread = threading.Thread(target=feed)
        thread.start()
        assert np.array_equal(audio.read(pipe, sample_rate=16000).waveform, expected)
        thread.join()


def test_a_named_pipe_is_read_like_a_file(tmp_path: Path) -> None:
    fifo = tmp_path / "pipe.flac"
    os.mkfifo(fifo)
    audio.write(tmp_path / "a.flac", noise(5000), 16000)
    data = (tmp_path / "a.flac").read_bytes()
    thread = threading.Thread(target=fifo.write_bytes, args=(data,))
    thread.start()
    assert audio.read(fifo).waveform.shape == (1, 5000)
    thread.join()


# PyAV


def encode(path: Path, codec: str, sample_rate: int, waveform: Waveform, format_: str) -> None:
    av = pytest.importorskip("av")
    integers = np.rint(waveform * 32767).astype(np.int16)
    with av.open(str(path), "w", format=format_) as container:
        stream = container.add_stream(codec, rate=sample_rate, layout="mono")
        for start in range(0, integers.shape[1], 1024):
            block = np.ascontiguousarray(integers[:, start : start + 1024])
            frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
            frame.sample_rate, frame.pts = sample_rate, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.mark.parametrize(
    ("name", "codec", "sample_rate", "format_", "delay"),
    [
        ("a.m4a", "aac", 44100, "ipod", 0),
        ("a.webm", "libopus", 48000, "webm", 0),
        ("a.aac", "aac", 44100, "adts", 1024),  # the bare stream cannot say how much to skip
        ("a.g722", "g722", 16000, "g722", 22),  # the delay of the filter bank
    ],
)
def test_pyav_reads_what_libsndfile_refuses(
    tmp_path: Path, name: str, codec: str, sample_rate: int, format_: str, delay: int
) -> None:
    path = tmp_path / name
    length = 1024 * 40
    encode(path, codec, sample_rate, sine(length, sample_rate), format_)
    assert audio.info(path) == (sample_rate, 1, None)
    assert audio.info(path).seconds is None
    with audio.read_blocks(path, block_seconds=0.1) as stream:
        blocks = list(stream)
    waveform = np.concatenate(blocks)
    assert abs(len(waveform) - length) <= 1024
    assert stream.source_num_samples == stream.num_samples == len(waveform)
    expected = sine(length, sample_rate)[0, 2048:30000]
    assert np.abs(waveform[2048 + delay : 30000 + delay] - expected).max() < 0.05
    resampled = audio.read(path, sample_rate=24000).waveform
    assert np.array_equal(resampled, audio.resample(waveform[None], sample_rate, 24000))


def test_pyav_reads_pipes_and_files_without_a_name(tmp_path: Path) -> None:
    encode(tmp_path / "a.m4a", "aac", 44100, noise(10240), "ipod")
    data = (tmp_path / "a.m4a").read_bytes()
    expected = audio.read(tmp_path / "a.m4a").waveform
    assert np.array_equal(audio.read(io.BytesIO(data)).waveform, expected)


def test_without_pyav_the_message_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.m4a"
    path.write_bytes(b"\0\0\0 ftypM4A " * 50)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(AudioError, match=r"cannot read .*a\.m4a .*: pip install 'vqaudio\[av\]'$"):
        audio.read(path)


def test_a_playlist_opens_no_other_file(tmp_path: Path) -> None:
    encode(tmp_path / "secret.aac", "aac", 44100, noise(44032), "adts")
    playlist = tmp_path / "list.m4a"
    playlist.write_text("ffconcat version 1.0\nfile secret.aac\n")
    with pytest.raises(AudioError, match="is not audio"):
        audio.read(playlist)


# Refusals when reading


def test_a_missing_file_a_folder_and_an_empty_file(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"no\.wav does not exist; check the name"):
        audio.read(tmp_path / "no.wav")
    with pytest.raises(AudioError, match="is a folder; name an audio file"):
        audio.read_blocks(tmp_path)
    (tmp_path / "a.wav").touch()
    with pytest.raises(AudioError, match=r"a\.wav is empty \(0 bytes\)"):
        audio.info(tmp_path / "a.wav")
    with pytest.raises(AudioError, match="the audio stream is empty"):
        audio.read(io.BytesIO())
    with pytest.raises(AudioError, match=r"cannot read .*: Not a directory"):
        audio.read(tmp_path / "a.wav" / "b.wav")


@pytest.mark.parametrize("name", ["a.wav", "a.m4a", "a.txt", "a.raw"])
@pytest.mark.parametrize("content", [b"This is no sound.\n" * 300, bytes(range(256)) * 40])
def test_what_is_not_audio_is_refused_in_one_sentence(
    tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(AudioError, match=rf"{name} is not audio .* convert it to wav$"):
        audio.read(tmp_path / name)


def test_a_header_without_samples(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(0, np.float32), 16000)
    assert audio.info(path).num_samples == 0
    with pytest.raises(AudioError, match=r"a\.wav holds no samples"):
        audio.read_blocks(path)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_sample_that_is_not_finite_is_located(tmp_path: Path, bad: float) -> None:
    samples = np.zeros((80000, 2), np.float32)
    samples[40000, 1] = bad
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"a\.wav holds .* NaN or infinite at 2\.5000 s"):
        audio.read(tmp_path / "a.wav", sample_rate=24000)


def test_integers_stored_as_floats_are_recognised(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.float32([0, 31, -32]), 16000, subtype="FLOAT")
    assert audio.read(path).waveform.tolist() == [[0, 31, -32]]
    soundfile.write(path, np.float32([0, 1, -12345]), 16000, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"samples reach 12345: looks like integers .*\[-1, 1\]"):
        audio.read(path)


@pytest.mark.parametrize("suffix", [".wav", ".aiff", ".au", ".w64"])
def test_a_truncated_file_of_plain_samples_is_refused(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    soundfile.write(path, noise(160000)[0], 16000)
    assert audio.read(path).waveform.size == 160000
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(
        AudioError, match=rf"a\{suffix} is truncated: its header promises 320\d\d\d"
    ):
        audio.read_blocks(path)


@pytest.mark.parametrize("size", [0x7FFFFFFF, 0xFFFFFFFF])
def test_a_wav_that_was_piped_is_read_to_its_end(size: int, tmp_path: Path) -> None:
    # Its header was written before anybody knew how long it would be.
    path = tmp_path / "a.wav"
    audio.write(path, noise(16000), 16000)
    data = bytearray(path.read_bytes())
    place = data.index(b"data") + 4
    data[place : place + 4] = size.to_bytes(4, "little")
    path.write_bytes(data)
    assert audio.read(path).waveform.size == 16000


def test_a_truncated_flac_is_refused_where_it_breaks(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    audio.write(path, noise(160000), 16000)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    stream = audio.read_blocks(path, block_seconds=1)
    with pytest.raises(AudioError, match=r"a\.flac is damaged after [34]\.\d\d s \("):
        list(stream)
    assert stream.num_samples >= 48000
    assert list(stream) == []


def test_a_file_name_need_not_be_text(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.wav"))
    audio.write(path, noise(100), 16000)
    assert audio.read(path).waveform.shape == (1, 100)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sample_rate": 0}, "sample rate asked for is 0 Hz"),
        ({"sample_rate": 16000.5}, "a whole number"),
        ({"block_seconds": 0}, "block_seconds is 0; it must be above 0"),
        ({"block_seconds": float("nan")}, "must be above 0"),
    ],
)
def test_impossible_options(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    audio.write(tmp_path / "a.wav", noise(5), 16000)
    with pytest.raises(AudioError, match=message):
        audio.read_blocks(tmp_path / "a.wav", **options)


def test_a_header_with_an_impossible_rate(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", noise(5)[0], 3)
    with pytest.raises(AudioError, match=r"sample rate of .*a\.wav is 3 Hz"):
        audio.read(tmp_path / "a.wav")


# Refusals when writing


def test_what_cannot_be_written_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with pytest.raises(AudioError, match=r"a\.mp3: its suffix must be one of \.flac, \.ogg, \.wav"):
        audio.write(tmp_path / "a.mp3", noise(5), 16000)
    with pytest.raises(AudioError, match=r"the sample at 0\.0002 s is NaN or infinite"):
        audio.write(path, np.float32([[0, 0, 0, np.nan]]), 16000)
    with pytest.raises(AudioError, match="there are no samples to write"):
        audio.write(path, noise(0), 16000)
    with pytest.raises(AudioError, match=r"shape \[n\] or \[1, n\], not \[2, 5\]"):
        audio.write(path, np.zeros((2, 5), np.float32), 16000)
    with pytest.raises(AudioError, match=r"shape \[1, S\], not \[5\]"):
        audio.write(path, noise(5)[0], 16000)
    with pytest.raises(AudioError, match="sample rate to write is 3 Hz"):
        audio.write(path, noise(5), 3)
    with pytest.raises(AudioError, match=r"a\.flac: .* not support this sample rate$"):
        audio.write(tmp_path / "a.flac", noise(5), 767_999)
    assert os.listdir(tmp_path) == []
    path.touch()
    with pytest.raises(VqaudioError, match="is a file, not a folder"):
        audio.write(path / "b.wav", noise(5), 16000)


@pytest.mark.parametrize("suffix", sorted(audio.WRITE_FORMATS))
def test_a_place_that_cannot_be_written_is_no_full_disk(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def touch(path: Path) -> None:  # root may write everywhere
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "touch", touch)
    with pytest.raises(VqaudioError, match=r"Permission denied; choose a place that can be wri"):
        audio.write(tmp_path / f"a{suffix}", noise(5), 16000)


def test_an_interrupted_writer_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    audio.write(path, noise(100), 16000)

    def interrupted() -> None:
        with audio.AudioWriter(path, 16000) as writer:
            writer.write(noise(5000))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert audio.info(path).num_samples == 100
    assert os.listdir(tmp_path) == ["a.flac"]


def test_a_wav_says_where_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vqaudio.audio.writing.WAV_MAX_SAMPLES", 100)
    audio.write(tmp_path / "a.wav", noise(100), 16000)
    audio.write(tmp_path / "a.flac", noise(101), 16000)
    with pytest.raises(AudioError, match=r"a wav ends at 4 GiB; write \.flac instead"):
        audio.write(tmp_path / "b.wav", noise(101), 16000)


@contextmanager
def files_end_at(num_bytes: int) -> Iterator[None]:
    """A full disk, as far as this process can tell: longer writes fail."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("suffix", sorted(audio.WRITE_FORMATS))
@pytest.mark.parametrize("limit", [10, 20_000])
def test_a_full_disk_is_noticed(tmp_path: Path, suffix: str, limit: int) -> None:
    with files_end_at(limit), pytest.raises(AudioError, match=r"cannot write .*a\..* disk full\?"):
        audio.write(tmp_path / f"a{suffix}", noise(200_000), 16000)
    assert os.listdir(tmp_path) == []


# Finding


def test_audio_is_found_sorted_and_hidden_files_are_not(tmp_path: Path) -> None:
    names = ["b/2.wav", "b/10.FLAC", "a.mp3", "c.m4a", ".half.wav", ".cache/x.wav", "notes.txt"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in audio.find_audio(tmp_path)]
    assert found == ["a.mp3", "b/10.FLAC", "b/2.wav", "c.m4a"]


def test_nothing_to_find(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"holds no audio file; the suffixes .* \.wav, "):
        audio.find_audio(tmp_path)
    with pytest.raises(AudioError, match="no does not exist"):
        audio.find_audio(tmp_path / "no")
    (tmp_path / "a.wav").touch()
    with pytest.raises(AudioError, match="is a file"):
        audio.find_audio(tmp_path / "a.wav")


def test_importing_audio_imports_neither_torch_nor_av() -> None:
    code = "import sys, vqaudio.audio; print({'torch', 'av'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "set()", result.stderr


def test_an_ogg_beyond_what_vorbis_can_do_is_refused(tmp_path: Path) -> None:
    audio.write(tmp_path / "a.ogg", noise(1000), 200_000)
    with pytest.raises(AudioError, match="ogg ends at 200000 Hz, the sound has 200001"):
        audio.write(tmp_path / "b.ogg", noise(1000), 200_001)
