"""Augmentation: levels as asked for, sounds in their place, no clipping, the same every time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from pydantic import ValidationError
from sounds import babble

from vqaudio.corpora import Utterance
from vqaudio.data import Augmentation, CorpusShare, Crops, NoiseConfig, RoomConfig
from vqaudio.data.augment import (
    DIRECT_TO_REVERBERANT_DB,
    add_noise,
    coloured_noise,
    impulse_response,
    reverberate,
)
from vqaudio.data.faults import Faults
from vqaudio.errors import CorpusError
from vqaudio.recipe import DataConfig

RATE = 16_000

Sound = NDArray[np.float32]


@pytest.fixture(scope="module")
def speech() -> Sound:
    return babble(1, 0, seconds=1.0).astype(np.float32)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def decibels(power: Any) -> Any:
    return 10 * np.log10(power)


def power(sound: Sound) -> float:
    return float(np.mean(np.square(sound, dtype=np.float64)))


def augmented(sound: Sound, seed: int = 0, **options: Any) -> Sound:
    return Augmentation(sample_rate=RATE, **options)(sound, rng(seed), Faults())


# Noise


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 20.0, 60.0])
@pytest.mark.parametrize("slope", [0.0, 1.0, 2.0])
def test_noise_has_the_level_asked_for(speech: Sound, snr_db: float, slope: float) -> None:
    noise = coloured_noise(len(speech), slope, RATE, rng())
    added = add_noise(speech, noise, snr_db) - speech
    assert decibels(power(speech) / power(added)) == pytest.approx(snr_db, abs=0.05)


def test_silence_stays_silent(speech: Sound) -> None:
    silence = np.zeros_like(speech)
    assert not add_noise(silence, speech, 10).any()
    assert np.array_equal(add_noise(speech, silence, 10), speech)


def test_noise_next_to_nothing_is_brought_up_like_any_other(speech: Sound) -> None:
    noise = np.zeros_like(speech)
    noise[::2] = 1e-42  # of a pause in a float file
    added = add_noise(speech, noise, 10) - speech
    assert decibels(power(speech) / power(added)) == pytest.approx(10, abs=0.05)


@pytest.mark.parametrize("slope", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("length", [32_768, 30_011])
def test_noise_has_the_colour_asked_for(slope: float, length: int) -> None:
    noise = coloured_noise(length, slope, RATE, rng())
    assert noise.shape == (length,)
    assert noise.dtype == np.float32
    spectrum = np.abs(np.fft.rfft(noise * np.hanning(length))) ** 2
    frequencies = np.fft.rfftfreq(length, 1 / RATE)

    def level(low: float, high: float) -> Any:
        return decibels(np.mean(spectrum[(low <= frequencies) & (frequencies < high)]))

    # Two octaves: 6 dB for each power of the frequency. About 500 bins: 0.2 dB of deviation.
    fall = level(1000, 1250) - level(4000, 5000)
    assert fall == pytest.approx(slope * decibels(4), abs=1)
    assert level(1, 20) == pytest.approx(level(20, 45), abs=3)  # no rumble that nobody hears


@pytest.mark.parametrize("seconds", [0.3, 3.0])
def test_recorded_noise_is_mixed_in(tmp_path: Path, speech: Sound, seconds: float) -> None:
    hum = np.sin(2 * np.pi * 1000 * np.arange(round(8000 * seconds)) / 8000)
    soundfile.write(tmp_path / "hum.wav", hum, 8000)  # another rate
    noise = NoiseConfig(probability=1, snr_db=(10, 10), root=str(tmp_path))
    added = augmented(speech, noise=noise) - speech
    assert decibels(power(speech) / power(added)) == pytest.approx(10, abs=0.1)
    spectrum = np.abs(np.fft.rfft(added * np.hanning(len(added)))) ** 2
    assert spectrum[980:1021].sum() > 0.95 * spectrum.sum()


def test_recorded_noise_that_cannot_be_read_is_replaced_and_told(
    tmp_path: Path, speech: Sound
) -> None:
    soundfile.write(tmp_path / "hum.wav", np.full(8000, 0.1), RATE)
    noise = NoiseConfig(probability=1, snr_db=(10, 10), root=str(tmp_path))
    augment = Augmentation(sample_rate=RATE, noise=noise)
    (tmp_path / "hum.wav").write_bytes(b"gone")
    faults = Faults()
    first = augment(speech, rng(), faults)
    assert decibels(power(speech) / power(first - speech)) == pytest.approx(10, abs=0.1)
    assert [fault.path for fault in faults.take()] == [str(tmp_path / "hum.wav")]
    assert np.array_equal(augment(speech, rng(), faults), first)
    assert faults.take() == ()


def test_a_folder_without_noise_is_refused(tmp_path: Path) -> None:
    noise = NoiseConfig(probability=1, snr_db=(10, 10), root=str(tmp_path / "none"))
    with pytest.raises(CorpusError, match=r"^data\.noise\.root: .*none does not exist; name a"):
        Augmentation(sample_rate=RATE, noise=noise)
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "a.wav").write_bytes(b"no sound")
    with pytest.raises(CorpusError, match=r"none holds no sound that can be read\.$"):
        Augmentation(sample_rate=RATE, noise=noise)


# Rooms


def test_a_room_is_the_direct_sound_and_what_follows() -> None:
    click = np.zeros(RATE, np.float32)
    click[3000] = 0.5
    response = impulse_response(0.4, RATE, rng())
    heard = reverberate(click, response)
    assert heard.shape == click.shape
    assert heard.dtype == np.float32
    assert heard[:3000] == pytest.approx(np.zeros(3000), abs=1e-6)
    np.testing.assert_allclose(heard[3000 : 3000 + len(response)], 0.5 * response, atol=1e-6)


@pytest.mark.parametrize("sample_rate", [8000, 48_000])
def test_the_smallest_room_that_a_recipe_may_have(sample_rate: int) -> None:
    assert np.isfinite(impulse_response(0.01, sample_rate, rng())).all()


def test_convolution_is_that_of_the_direct_form() -> None:
    sound = rng(1).standard_normal(300).astype(np.float32)
    for length in (1, 7, 300, 500):
        response = rng(2).standard_normal(length).astype(np.float32)
        direct = np.convolve(sound, response)[:300]
        np.testing.assert_allclose(reverberate(sound, response), direct, atol=1e-4)


@pytest.mark.parametrize("rt60", [0.2, 1.0])
def test_echoes_fall_by_60_db_in_the_time_asked_for(rt60: float) -> None:
    response = impulse_response(rt60, 48_000, rng())
    assert response[0] == 1
    assert len(response) == round(rt60 * 48_000)
    tenth = len(response) // 10
    fall = decibels(power(response[tenth : 2 * tenth]) / power(response[8 * tenth : 9 * tenth]))
    assert fall == pytest.approx(60 * 0.7, abs=1.5)
    low, high = DIRECT_TO_REVERBERANT_DB
    ratios = [-decibels(np.sum(impulse_response(0.1, RATE, rng(n))[1:] ** 2)) for n in range(50)]
    assert low <= min(ratios) < low + 3
    assert high - 3 < max(ratios) <= high


# All together


def test_nothing_asked_for_changes_nothing(speech: Sound) -> None:
    assert np.array_equal(augmented(speech), speech)
    never = {
        "noise": NoiseConfig(probability=0, snr_db=(0, 0)),
        "room": RoomConfig(probability=0, rt60=(0.5, 0.5)),
    }
    assert np.array_equal(augmented(speech, **never), speech)


def test_each_crop_has_its_chance(speech: Sound) -> None:
    for options in (
        {"noise": NoiseConfig(probability=0.3, snr_db=(0, 20))},
        {"room": RoomConfig(probability=0.3, rt60=(0.1, 0.5))},
    ):
        augment = Augmentation(sample_rate=RATE, **options)  # type: ignore[arg-type]
        changed = [
            not np.array_equal(augment(speech[:800], rng(n), Faults()), speech[:800])
            for n in range(400)
        ]
        assert np.mean(changed) == pytest.approx(0.3, abs=0.07)  # three standard deviations


@pytest.mark.parametrize("seed", range(6))
def test_all_together_keeps_place_and_never_clips(seed: int) -> None:
    # Unlike speech, noise is like itself at one place only.
    sound = 0.1 * rng(100).standard_normal(RATE, dtype=np.float32)
    options: dict[str, Any] = {
        "noise": NoiseConfig(probability=1, snr_db=(5, 30)),
        "room": RoomConfig(probability=1, rt60=(0.1, 0.8)),
        "gain_db": (20, 30),
    }
    heard = augmented(sound, seed, **options)
    assert heard.shape == sound.shape
    assert heard.dtype == np.float32
    assert np.abs(heard).max() == pytest.approx(1, abs=1e-6)
    assert np.abs(heard).max() <= 1
    assert np.sum(np.abs(heard) > 0.9999) <= 2  # scaled, not cut off
    correlation = np.fft.irfft(np.fft.rfft(heard, 32_768) * np.fft.rfft(sound, 32_768).conj())
    assert correlation.argmax() == 0
    assert np.array_equal(augmented(sound, seed, **options), heard)
    assert not np.array_equal(augmented(sound, seed + 1, **options), heard)


def test_level_is_the_last_word(speech: Sound) -> None:
    noise = NoiseConfig(probability=1, snr_db=(10, 10))
    quiet = augmented(speech, noise=noise, gain_db=(-20, -20))
    loud = augmented(speech, noise=noise)
    assert decibels(power(loud) / power(quiet)) == pytest.approx(20, abs=1e-3)


def test_crops_come_augmented(tmp_path: Path, speech: Sound) -> None:
    soundfile.write(tmp_path / "a.wav", speech, RATE, subtype="FLOAT")
    noise = NoiseConfig(probability=1, snr_db=(20, 20))
    crops = Crops(
        [CorpusShare([Utterance(tmp_path / "a.wav", "one", 1.0)])],
        sample_rate=RATE,
        num_samples=RATE,
        items=range(3),
        speaker_balance=0.0,
        augment=Augmentation(sample_rate=RATE, noise=noise),
        seed=0,
    )
    added = crops[0].waveform[:, 0].numpy() - speech
    for row in added:
        assert decibels(power(speech) / power(row)) == pytest.approx(20, abs=0.1)
    assert not np.array_equal(added[0], added[1])


def test_a_recipe_has_keys_for_all_of_it() -> None:
    values = {
        "corpora": [{"name": "folder", "root": "x"}],
        "batch_size": 2,
        "crop_seconds": 1.0,
        "room": {"probability": 0.3, "rt60": [0.1, 0.8]},
        "noise": {"probability": 0.5, "snr_db": [5, 40], "root": "noise"},
        "gain_db": [-12, 6],
    }
    config = DataConfig.model_validate(values)
    assert config.room == RoomConfig(probability=0.3, rt60=(0.1, 0.8))
    assert config.noise == NoiseConfig(probability=0.5, snr_db=(5, 40), root="noise")
    assert config.gain_db == (-12, 6)


@pytest.mark.parametrize(
    ("config", "values", "message"),
    [
        (NoiseConfig, {"probability": 1.5, "snr_db": [0, 1]}, "less than or equal to 1"),
        (NoiseConfig, {"probability": 1.0, "snr_db": [3, -3]}, r"\[low, high\], got \[3, -3\]"),
        (NoiseConfig, {"probability": 1.0, "snr_db": [-1e4, 0]}, "greater than or equal to -100"),
        (RoomConfig, {"probability": 1.0, "rt60": [0, 1]}, "greater than or equal to 0.01"),
        (RoomConfig, {"probability": 1.0, "rt60": [2, 1]}, r"\[low, high\], got \[2, 1\]"),
    ],
)
def test_impossible_values_are_refused(config: Any, values: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        config(**values)
