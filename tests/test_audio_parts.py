"""A part of a file is that part of the whole, and costs no more than itself."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vqaudio import audio
from vqaudio.audio.decoding import AAC_LEAD_IN
from vqaudio.errors import AudioError

SECONDS = 9
RATE = 24_000
"""The one rate that all formats know."""

KINDS: dict[str, dict[str, Any]] = {
    "a.wav": {"subtype": "FLOAT"},
    "adpcm.wav": {"subtype": "IMA_ADPCM"},
    "gsm.wav": {"subtype": "GSM610"},  # libsndfile cannot jump in it
    "a.flac": {},
    "a.ogg": {},
    "a.opus": {"format": "OGG", "subtype": "OPUS"},
    "a.mp3": {},
    "small.mp3": {"compression_level": 0.99},  # whose frames reach far back
    "variable.mp3": {"bitrate_mode": "VARIABLE"},
}
AV_KINDS = {"a.m4a": "aac", "alac.m4a": "alac", "a.webm": "libopus", "a.aac": "aac"}


def sound(seconds: float = SECONDS, rate: int = RATE) -> NDArray[np.float64]:
    """[S]: noise that comes and goes over a tone that glides, so that no two places are alike."""
    time = np.arange(round(seconds * rate)) / rate
    hiss = np.random.default_rng(0).standard_normal(len(time)).clip(-3, 3)
    swell = 0.5 + 0.5 * np.sin(4 * time)
    return 0.08 * swell**3 * hiss + 0.3 * np.sin(2 * np.pi * (300 + 40 * time) * time)


def write_av(
    path: Path, codec: str, samples: NDArray[np.float64], *, begins: int | None = None
) -> None:
    """`begins`: the time of the first sample, in samples."""
    av = pytest.importorskip("av")
    rate = 48_000 if codec == "libopus" else RATE
    with av.open(str(path), "w") as container:
        options = {"aac_pns": "0"} if codec == "aac" else {}  # noise is made up at each reading
        stream = container.add_stream(codec, rate=rate, options=options)
        frame = av.AudioFrame.from_ndarray(samples.astype(np.float32)[None], "fltp", "mono")
        frame.sample_rate, frame.pts = RATE, begins
        frame.time_base = Fraction(1, RATE)
        fit = av.AudioResampler(stream.format.name, "mono", rate)
        for part in [*fit.resample(frame), *fit.resample(None), None]:
            for packet in stream.encode(part):
                container.mux(packet)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the same sound in all KINDS and AV_KINDS. Not to be written to."""
    folder = tmp_path_factory.mktemp("kinds")
    for name, options in KINDS.items():
        with soundfile.SoundFile(folder / name, "w", RATE, 1, **options) as file:
            for block in np.array_split(sound(), 10):  # libsndfile crashes on long ones of Vorbis
                file.write(block)
    return folder


def check_parts(path: Path, rate: int | None, *, tolerance: float) -> None:
    whole = audio.read(path, sample_rate=rate)
    length = whole.waveform.shape[1]
    random = np.random.default_rng(0)
    starts = [0, 1, length - 1, length - 700, *random.integers(0, length, 8).tolist()]
    for start in starts:
        for num_samples in (1, 3000):
            part = audio.read_part(path, start, num_samples, sample_rate=rate)
            expected = whole.waveform[:, start : start + num_samples]
            assert part.sample_rate == whole.sample_rate
            assert part.waveform.dtype == np.float32
            assert part.waveform.shape == expected.shape
            np.testing.assert_allclose(part.waveform, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("rate", [None, 16_000, 44_100])
@pytest.mark.parametrize("name", KINDS)
def test_a_part_is_that_part_of_the_whole(files: Path, name: str, rate: int | None) -> None:
    exact = rate is None and name.endswith((".wav", ".flac", ".ogg"))
    # Opus carries the past on for ever, weaker and weaker.
    tolerance = 0.0 if exact else 1e-3 if name.endswith(".opus") else 1e-6
    check_parts(files / name, rate, tolerance=tolerance)


@pytest.mark.parametrize("rate", [None, 16_000])
@pytest.mark.parametrize("name", AV_KINDS)
def test_a_part_of_what_only_pyav_reads(tmp_path: Path, name: str, rate: int | None) -> None:
    write_av(tmp_path / name, AV_KINDS[name], sound(4.0))
    check_parts(tmp_path / name, rate, tolerance=1e-6)


@pytest.mark.parametrize("begins", [0, 96_000])
def test_a_part_of_opus_whose_clock_starts_late(tmp_path: Path, begins: int) -> None:
    """As in a recorded broadcast; libsndfile jumps wrongly in it."""
    write_av(tmp_path / "a.opus", "libopus", sound(4.0), begins=begins)
    check_parts(tmp_path / "a.opus", None, tolerance=1e-3)
    check_parts(tmp_path / "a.opus", 16_000, tolerance=1e-3)


@pytest.mark.parametrize("codec", ["libopus", "libmp3lame"])
def test_a_part_of_other_codecs_in_mp4(tmp_path: Path, codec: str) -> None:
    write_av(tmp_path / "a.mp4", codec, sound(4.0), begins=0)
    check_parts(tmp_path / "a.mp4", None, tolerance=1e-3)


def test_a_part_of_g722(tmp_path: Path) -> None:
    pytest.importorskip("av")
    (tmp_path / "a.g722").write_bytes(np.random.default_rng(0).bytes(16_000))
    check_parts(tmp_path / "a.g722", None, tolerance=0)


@settings(max_examples=60, deadline=None)
@given(
    source=st.sampled_from([8000, 11_025, 16_000, 44_099, 44_100, 48_000, 96_000]),
    target=st.sampled_from([8000, 16_000, 22_050, 24_000, 48_000]),
    start=st.integers(0, 30_000),
    num_samples=st.integers(1, 20_000),
)
def test_resampled_parts_fit_at_any_pair_of_rates(
    source: int, target: int, start: int, num_samples: int
) -> None:
    file = io.BytesIO()
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 4 * source).astype(np.float32)
    soundfile.write(file, noise, source, format="WAV", subtype="FLOAT")
    file.seek(0)
    part = audio.read_part(file, start, num_samples, sample_rate=target).waveform
    file.seek(0)
    expected = audio.read(file, sample_rate=target).waveform[:, start : start + num_samples]
    assert part.shape == expected.shape
    # Measured over 60 random parts of each rate: up to 2.8e-6 from 44,099 Hz, with a margin of 1024
    # as with one of 128, so that it is soxr's own; less than 5e-7 from the others.
    tolerance = 4e-6 if source == 44_099 else 2e-6
    np.testing.assert_allclose(part, expected, rtol=0, atol=tolerance)


def test_channels_are_averaged(tmp_path: Path) -> None:
    stereo = np.stack([sound(1), -0.5 * sound(1)], axis=1)
    soundfile.write(tmp_path / "a.wav", stereo, RATE, subtype="FLOAT")
    check_parts(tmp_path / "a.wav", None, tolerance=0)


def decoded_by_libsndfile(path: Path, start: int, patch: pytest.MonkeyPatch) -> int:
    """Samples read for a part of 8,000 that starts at `start`."""
    usual, count = soundfile.SoundFile.read, []

    def read(self: Any, *args: Any, **kwargs: Any) -> NDArray[Any]:
        block: NDArray[Any] = usual(self, *args, **kwargs)
        count.append(len(block))
        return block

    patch.setattr(soundfile.SoundFile, "read", read)
    audio.read_part(path, start, 8000)
    return sum(count)


@pytest.mark.parametrize(
    ("name", "lead"), [("a.wav", 0), ("a.flac", 0), ("a.mp3", 11_520), ("a.opus", 19_200)]
)
def test_no_more_is_decoded_than_the_part_and_its_lead(
    files: Path, monkeypatch: pytest.MonkeyPatch, name: str, lead: int
) -> None:
    assert decoded_by_libsndfile(files / name, 150_000, monkeypatch) == 8000 + lead
    assert decoded_by_libsndfile(files / name, 0, monkeypatch) == 8000


def test_pyav_jumps_in_an_m4a(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    av = pytest.importorskip("av")
    write_av(tmp_path / "a.m4a", "aac", sound())
    usual, counted = av.AudioResampler, []

    class Counting:
        def __init__(self, **options: Any) -> None:
            self.usual = usual(**options)

        def resample(self, frame: Any) -> Any:
            parts = self.usual.resample(frame)
            counted.extend(part.samples for part in parts)
            return parts

    monkeypatch.setattr(av, "AudioResampler", Counting)
    audio.read_part(tmp_path / "a.m4a", 150_000, 8000)
    assert 8000 + AAC_LEAD_IN <= sum(counted) <= 8000 + AAC_LEAD_IN + 2 * 1024


def test_what_no_part_can_be_had_of(tmp_path: Path, files: Path) -> None:
    path = files / "a.wav"
    for start, num_samples in ((-1, 5), (0, 0)):
        with pytest.raises(AudioError, match=rf"part of {num_samples} samples from sample {start}"):
            audio.read_part(path, start, num_samples)
    for rate in (None, 16_000):
        with pytest.raises(AudioError, match=r"a\.wav ends before .* s, where a part of it was"):
            audio.read_part(path, 60 * RATE, 5, sample_rate=rate)
    with pytest.raises(AudioError, match="the sample rate asked for is 5 Hz"):
        audio.read_part(path, 0, 5, sample_rate=5)
    with pytest.raises(AudioError, match="does not exist"):
        audio.read_part(tmp_path / "none.wav", 0, 5)
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), RATE)
    with pytest.raises(AudioError, match=r"empty\.wav holds no samples"):
        audio.read_part(tmp_path / "empty.wav", 0, 5)


def test_samples_that_are_no_numbers_are_refused_where_they_are(tmp_path: Path) -> None:
    samples = sound(2)
    samples[30_000] = np.nan
    soundfile.write(tmp_path / "nan.wav", samples, RATE, subtype="FLOAT")
    audio.read_part(tmp_path / "nan.wav", 20_000, 10_000)
    with pytest.raises(AudioError, match=r"nan\.wav holds a sample that is NaN .* at 1\.2500 s"):
        audio.read_part(tmp_path / "nan.wav", 25_000, 10_000)
