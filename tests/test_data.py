"""Batches: the same whatever reads them, cheap to read, and what is done with odd files."""

from __future__ import annotations

import logging
import subprocess
import sys
import textwrap
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from vqaudio.corpora import Utterance, folder
from vqaudio.data import (
    Augmentation,
    CorpusShare,
    CropBatch,
    Crops,
    Fault,
    batches,
    read_crop,
    validation_crops,
)
from vqaudio.data.crops import MAX_UNREADABLE
from vqaudio.errors import AudioError, CorpusError

RATE = 16_000


def write(path: Path, samples: NDArray[Any], *, rate: int = RATE, speaker: str = "") -> Utterance:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype="FLOAT" if path.suffix == ".wav" else "PCM_24")
    return Utterance(path, speaker or path.stem, len(samples) / rate)


def make_crops(
    utterances: list[Utterance], gain_db: tuple[float, float] = (0.0, 0.0), **changes: Any
) -> Crops:
    options: dict[str, Any] = {
        "sample_rate": RATE,
        "num_samples": 800,
        "items": range(8),
        "speaker_balance": 0.5,
        "augment": Augmentation(sample_rate=RATE, gain_db=gain_db),
        "seed": 0,
    }
    return Crops([CorpusShare(utterances)], **{**options, **changes})


def levels(crops: Crops, steps: int) -> NDArray[np.float32]:
    """[steps * B]: the level of each crop of constant sounds."""
    return np.concatenate([crops[step].waveform[:, 0, 0].numpy() for step in range(steps)])


# Which crops


# Python 3.12 warns of forks in a process with threads, which pytest's has.
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_the_batch_of_a_step_depends_on_seed_and_step_alone(speech_folder: Path) -> None:
    utterances = folder.utterances(speech_folder, "train")
    crops = make_crops(utterances, gain_db=(-6, 6))
    expected = [crops[step].waveform for step in range(6)]
    assert expected[0].shape == (8, 1, 800)
    assert expected[0].dtype == torch.float32
    for workers in (0, 1, 2):
        found = list(batches(crops, first=0, steps=6, workers=workers))
        assert len(found) == 6
        assert all(torch.equal(a.waveform, b) for a, b in zip(found, expected, strict=True))
    resumed = list(batches(crops, first=4, steps=6, workers=1))
    assert all(torch.equal(a.waveform, b) for a, b in zip(resumed, expected[4:], strict=True))
    again = make_crops(utterances, gain_db=(-6, 6))
    assert torch.equal(again[3].waveform, expected[3])
    assert not torch.equal(expected[0], expected[1])
    assert not torch.equal(make_crops(utterances, gain_db=(-6, 6), seed=1)[0].waveform, expected[0])


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_together_hear_what_one_would(speech_folder: Path, processes: int) -> None:
    utterances = folder.utterances(speech_folder, "train")
    joint = make_crops(utterances, gain_db=(-6, 6))
    cuts = [8 * rank // processes for rank in range(processes + 1)]
    parts = [make_crops(utterances, gain_db=(-6, 6), items=range(*cut)) for cut in pairwise(cuts)]
    for step in (0, 7):
        heard = torch.cat([part[step].waveform for part in parts])
        assert torch.equal(heard, joint[step].waveform)


def test_reading_draws_nothing_from_the_global_random_state(speech_folder: Path) -> None:
    crops = make_crops(folder.utterances(speech_folder, "train"))
    before = torch.get_rng_state()
    list(batches(crops, first=0, steps=2, workers=0))
    assert torch.equal(torch.get_rng_state(), before)


def test_gain_is_drawn_per_crop_from_the_range(tmp_path: Path) -> None:
    sound = write(tmp_path / "constant.wav", np.full(4000, 0.1))
    found = 20 * np.log10(levels(make_crops([sound], gain_db=(-12, 6)), steps=25) / 0.1)
    assert found.min() >= -12.001
    assert found.max() <= 6.001
    assert np.ptp(found) > 16
    assert len(np.unique(found)) == len(found)
    assert np.unique(levels(make_crops([sound]), steps=5)) == pytest.approx(0.1)


def test_crops_come_from_all_over_the_file(tmp_path: Path) -> None:
    ramp = write(tmp_path / "ramp.wav", np.linspace(0, 1, 20_000))
    found = levels(make_crops([ramp]), steps=25)
    assert found.min() < 0.05
    assert 0.9 < found.max() <= 0.96  # the last place where 800 samples fit


# Reading one


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_a_crop_of_a_long_file_is_read_by_seeking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    samples = 0.5 * np.sin(np.arange(120 * RATE) ** 2 / 1e9)
    sound = write(tmp_path / f"long{suffix}", samples)
    usual, frames = soundfile.SoundFile.read, []

    def read(self: soundfile.SoundFile, *args: Any, **kwargs: Any) -> NDArray[Any]:
        block = usual(self, *args, **kwargs)
        frames.append(len(block))
        return block

    monkeypatch.setattr(soundfile.SoundFile, "read", read)
    crop = read_crop(sound, 0.5, 8000, RATE)
    start = (len(samples) - 8000) // 2
    np.testing.assert_allclose(crop, samples[start : start + 8000], atol=1e-6)
    assert sum(frames) == 8000
    assert _bytes_read(lambda: read_crop(sound, 0.9, 8000, RATE)) < 0.1 * sound.path.stat().st_size


def _bytes_read(action: Any) -> int:
    """By this process, page cache included; 0 where the system does not count."""
    try:
        before = Path("/proc/self/io").read_text()
        action()
        after = Path("/proc/self/io").read_text()
    except OSError:
        return 0
    return int(after.split()[1]) - int(before.split()[1])


@pytest.mark.parametrize("rate", [8000, 22_050, 44_100, 48_000])
def test_other_sample_rates_are_resampled(tmp_path: Path, rate: int) -> None:
    seconds = np.arange(2 * rate) / rate
    sound = write(tmp_path / "tone.wav", 0.5 * np.sin(2 * np.pi * 1000 * seconds), rate=rate)
    crop = read_crop(sound, 0.3, 8000, RATE)
    assert crop.shape == (8000,)
    assert crop.dtype == np.float32
    spectrum = np.abs(np.fft.rfft(crop * np.hanning(8000)))
    assert spectrum.argmax() == 1000 * 8000 / RATE
    assert np.abs(crop[1000:-1000]).max() == pytest.approx(0.5, abs=0.01)


def test_channels_are_averaged(tmp_path: Path) -> None:
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.tile([[0.5, -0.1]], (2000, 1)), RATE, subtype="FLOAT")
    crop = read_crop(Utterance(path, "a", 0.1), 0.0, 800, RATE)
    assert crop == pytest.approx(np.full(800, 0.2))


@pytest.mark.parametrize("rate", [8000, RATE])
@pytest.mark.parametrize("place", [0.0, 0.99])
def test_a_short_file_gives_what_it_has(tmp_path: Path, rate: int, place: float) -> None:
    sound = write(tmp_path / "short.wav", np.full(rate // 100, 0.5), rate=rate)  # 10 ms
    crop = read_crop(sound, place, 800, RATE)
    assert crop.shape == (160,)
    assert crop[40:120] == pytest.approx(np.full(80, 0.5), abs=0.02)


def test_short_crops_end_in_zeros_and_say_where(tmp_path: Path) -> None:
    short = write(tmp_path / "short.wav", np.full(300, 0.5), speaker="short")
    long = write(tmp_path / "long.wav", np.full(2000, 0.1), speaker="long")
    batch = make_crops([short, long], speaker_balance=1.0)[0]
    assert batch.num_samples is not None
    assert {*batch.num_samples.tolist()} == {300, 800}
    for crop, length in zip(batch.waveform[:, 0], batch.num_samples, strict=True):
        assert crop[:length].all()
        assert not crop[length:].any()
    assert make_crops([long])[0].num_samples is None


@pytest.mark.parametrize("place", [0.0, 1.0])
def test_what_only_pyav_reads_is_cropped_too(tmp_path: Path, place: float) -> None:
    av = pytest.importorskip("av")
    path = tmp_path / "tone.m4a"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=RATE)
        sound = np.sin(np.arange(RATE) / 5).astype(np.float32)[None]
        frame = av.AudioFrame.from_ndarray(0.5 * sound, format="fltp", layout="mono")
        frame.sample_rate = RATE
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    crop = read_crop(Utterance(path, "one", 1.0), place, 800, RATE)
    assert crop.shape == (800,)


@pytest.mark.parametrize(
    ("place", "seconds", "reason"), [(0.0, 0.0, "holds no samples"), (0.5, 0.5, "ends before 0.97")]
)
def test_a_file_without_what_was_listed_is_refused(
    tmp_path: Path, place: float, seconds: float, reason: str
) -> None:
    sound = write(tmp_path / "short.wav", np.full(round(seconds * RATE), 0.5))
    with pytest.raises(AudioError, match=rf"short\.wav {reason}"):
        read_crop(Utterance(sound.path, "one", 2.0), place, 800, RATE)


@pytest.mark.parametrize("place", [0.0, 0.5, 0.999])
def test_crops_stay_within_their_part_of_a_long_file(tmp_path: Path, place: float) -> None:
    sound = write(tmp_path / "long.wav", np.repeat(np.arange(10) / 10, RATE // 10))
    part = Utterance(sound.path, "one", seconds=0.1, start=0.3)
    assert read_crop(part, place, 800, RATE) == pytest.approx(np.full(800, 0.3))
    assert read_crop(part, place, 9000, RATE) == pytest.approx(np.full(1600, 0.3))


def test_samples_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    sound = write(tmp_path / "nan.wav", np.full(2000, np.nan))
    with pytest.raises(AudioError, match=r"nan\.wav holds a sample that is NaN"):
        read_crop(sound, 0.5, 800, RATE)


# Files that cannot be used


def broken(path: Path) -> Utterance:
    path.write_bytes(b"RIFF, they said")
    return Utterance(path, path.stem, 1.0)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_file_is_left_out_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, workers: int
) -> None:
    good = write(tmp_path / "good.wav", np.full(RATE, 0.5))
    crops = make_crops([good, broken(tmp_path / "bad.wav")])
    with caplog.at_level(logging.WARNING):
        heard = list(batches(crops, first=0, steps=8, workers=workers))
    assert torch.cat([batch.waveform for batch in heard]).unique().tolist() == [0.5]
    assert [len(batch.waveform) for batch in heard] == [8] * 8
    faults = [fault for batch in heard for fault in batch.faults]
    assert [fault.path for fault in faults] == [str(tmp_path / "bad.wav")]
    assert "bad.wav is not audio" in faults[0].reason
    told = [record.message for record in caplog.records if "bad.wav" in record.message]
    assert told == [f"left out of training: {faults[0].reason}"]


def test_having_met_a_fault_does_not_change_what_comes(tmp_path: Path) -> None:
    both = [broken(tmp_path / "bad.wav"), write(tmp_path / "a.wav", np.linspace(0, 1, RATE))]
    crops = make_crops(both)
    first = crops[3].waveform
    assert torch.equal(crops[3].waveform, first)
    assert torch.equal(make_crops(both)[3].waveform, first)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("workers", [0, 1])
def test_a_corpus_that_cannot_be_read_at_all_stops_the_run(tmp_path: Path, workers: int) -> None:
    crops = make_crops([broken(tmp_path / "bad.wav")])
    message = rf"^{MAX_UNREADABLE} files in a row .*bad\.wav: check the corpus\.$"
    with pytest.raises(CorpusError, match=message):
        next(batches(crops, first=0, steps=1, workers=workers))


# Validation


def test_validation_crops_are_the_middles_of_files_all_over_the_corpus(tmp_path: Path) -> None:
    sounds = [
        write(tmp_path / f"{n:02}.wav", np.repeat([0.0, n / 20, 0.0], 800)) for n in range(12)
    ]
    crops = validation_crops(sounds, seconds=0.2, num_samples=800, sample_rate=RATE)
    assert crops.waveform.shape == (4, 1, 800)
    assert crops.waveform[:, 0, 400].tolist() == pytest.approx([0, 3 / 20, 6 / 20, 9 / 20])
    assert crops.waveform[1, 0].tolist() == pytest.approx([3 / 20] * 800)
    everything = validation_crops(sounds, seconds=60, num_samples=800, sample_rate=RATE)
    assert len(everything.waveform) == 12


def test_validation_passes_over_short_and_unreadable_files(tmp_path: Path) -> None:
    short = write(tmp_path / "short.wav", np.full(400, 0.1))
    long = write(tmp_path / "long.wav", np.full(2000, 0.5))
    bad = broken(tmp_path / "bad.wav")
    crops = validation_crops([short, long, bad], seconds=1, num_samples=800, sample_rate=RATE)
    assert crops.waveform[:, 0, 0].tolist() == [0.5]
    assert [fault.path for fault in crops.faults] == [str(bad.path)]
    only = validation_crops([short], seconds=1, num_samples=800, sample_rate=RATE)
    assert only.waveform[0, 0].tolist() == pytest.approx([0.1] * 400 + [0.0] * 400)
    for none in ([], [bad]):
        nothing = validation_crops(none, seconds=1, num_samples=800, sample_rate=RATE)
        assert nothing.waveform.shape == (0, 1, 800)


# Processes that read


@pytest.mark.parametrize("gpu", [False, True])
def test_batches_are_pinned_where_there_is_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpu: bool
) -> None:
    given: dict[str, Any] = {}

    def load(crops: Crops, **options: Any) -> list[CropBatch]:
        given.update(options)
        fault = Fault("bad.wav", "bad.wav is empty")
        return [crops[0]._replace(faults=[fault])]  # type: ignore[arg-type]  # as pinning does

    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr("vqaudio.data.loading.DataLoader", load)
    crops = make_crops([write(tmp_path / "a.wav", np.full(2000, 0.5))])
    (batch,) = batches(crops, first=0, steps=1, workers=2)
    assert given["pin_memory"] is gpu
    assert batch.faults == (Fault("bad.wav", "bad.wav is empty"),)


def test_workers_hold_their_tongue_about_jumps_and_import_nothing_slow(tmp_path: Path) -> None:
    """libmpg123 prints to the standard error about nearly every jump; Python may speak."""
    sound = 0.3 * np.random.default_rng(0).standard_normal(20 * 24_000).clip(-3, 3)
    soundfile.write(tmp_path / "a.mp3", sound, 24_000)
    code = f"""
        import sys
        from pathlib import Path
        from vqaudio.corpora import Utterance
        from vqaudio.data import Augmentation, CorpusShare, Crops, batches

        class Telling(Crops):
            def __getitem__(self, step):
                batch = super().__getitem__(step)
                print(sorted({{"librosa", "numba", "scipy"}} & set(sys.modules)), file=sys.stderr)
                return batch

        crops = Telling(
            [CorpusShare([Utterance(Path({str(tmp_path / "a.mp3")!r}), "one", 20.0)])],
            sample_rate=16000,
            num_samples=8000,
            items=range(8),
            speaker_balance=0.0,
            augment=Augmentation(sample_rate=16000),
            seed=0,
        )
        list(batches(crops, first=0, steps=2, workers=1))
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr.splitlines() == ["[]", "[]"]
