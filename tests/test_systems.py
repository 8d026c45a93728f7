"""Systems: lengths, bits, delays and names of codecs, and that a broken adapter is caught."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.signal import firwin
from sounds import SAMPLE_RATE, babble, recorded_speech

from vqaudio.checkpoint import BUNDLED
from vqaudio.errors import AudioError, ModelError, VqaudioError
from vqaudio.systems import (
    STANDARD,
    MissingError,
    System,
    Transmission,
    Waveform,
    check,
    find_system,
    rate_of,
)
from vqaudio.systems.amr_wb import ENCODER
from vqaudio.systems.finding import CLASSICAL, parse
from vqaudio.systems.programs import ogg_packets, run
from vqaudio.systems.sanity import FLOORS, estimate_lag, floor_of
from vqaudio.tokens import Tokens

PROGRAMS = {
    "opus": ("opusenc", "opus-tools"),
    "codec2": ("c2enc", "codec2"),
    "speex": ("speexenc", "speex"),
    "speex-nb": ("speexenc", "speex"),
    "amr-wb": ("ffmpeg", "ffmpeg libavcodec-extra"),
}
EVERY_KIND = ("original", "opus@6000", "codec2@700", "speex@4000", "speex-nb@6000", "amr-wb@6600")


def find(spec: str, sample_rate: int = SAMPLE_RATE) -> System:
    """The system, or a skip that names what to install."""
    family = spec.partition("@")[0]
    if family in PROGRAMS:
        program, package = PROGRAMS[family]
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}, of the Debian package {package}")
    try:
        return find_system(spec, sample_rate=sample_rate)
    except MissingError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def speech() -> Waveform:
    return recorded()


def recorded() -> Waveform:
    """[S], 6 s of the speech in the box."""
    return recorded_speech()[: 6 * SAMPLE_RATE]


@cache
def transmitted(spec: str) -> Transmission:
    return find(spec).transmit(recorded(), SAMPLE_RATE)


def sound(seconds: float = 1.0) -> Waveform:
    return babble(0, 0, seconds=seconds).astype(np.float32)


@pytest.mark.parametrize("spec", EVERY_KIND)
@settings(max_examples=3, deadline=None)
@given(num_samples=st.integers(1, 50_000))
@example(num_samples=1)
@example(num_samples=16)
@example(num_samples=321)
def test_as_many_samples_come_out_as_went_in(spec: str, num_samples: int) -> None:
    system = find(spec)
    waveform = np.resize(sound(), num_samples)
    sent = system.transmit(waveform, SAMPLE_RATE)
    assert sent.waveform.shape == waveform.shape
    assert sent.waveform.dtype == np.float32
    assert np.isfinite(sent.waveform).all()
    assert sent.num_bits > 0


@pytest.mark.parametrize("spec", EVERY_KIND)
@pytest.mark.parametrize("sample_rate", [8000, 24000, 44100])
def test_any_sample_rate_is_carried(spec: str, sample_rate: int) -> None:
    system = find(spec, sample_rate)
    waveform = np.resize(sound(), sample_rate // 3)
    assert system.transmit(waveform, sample_rate).waveform.shape == waveform.shape


@pytest.mark.parametrize("spec", EVERY_KIND)
def test_silence_stays_quiet_and_full_scale_stays_finite(spec: str) -> None:
    system = find(spec)
    silent = system.transmit(np.zeros(8000, np.float32), SAMPLE_RATE).waveform
    assert np.abs(silent).max() < 0.01
    loud = np.sign(sound(0.5)).astype(np.float32)
    assert np.isfinite(system.transmit(loud, SAMPLE_RATE).waveform).all()


@pytest.mark.parametrize("spec", EVERY_KIND)
def test_what_is_no_waveform_is_refused(spec: str) -> None:
    system = find(spec)
    for wrong in (np.zeros((1, 9)), np.zeros(0), np.full(9, np.nan)):
        with pytest.raises(AudioError):
            system.transmit(wrong.astype(np.float32), SAMPLE_RATE)


@pytest.mark.parametrize("family", CLASSICAL)
def test_bits_are_those_of_the_rate_and_grow_with_it(family: str, speech: Waveform) -> None:
    rates = CLASSICAL[family].rates
    if family == "amr-wb":  # ffmpeg takes a while to start
        rates = rates[::4]
    bits = [transmitted(f"{family}@{rate}").num_bits for rate in rates]
    assert all(less < more for less, more in pairwise(bits))
    # Opus spends less in pauses, here 17 % at 6 kbit/s; 6 s are whole frames of all others.
    tolerance = 0.2 if family == "opus" else 1e-9
    for rate, sent in zip(rates, bits, strict=True):
        assert sent / len(speech) * SAMPLE_RATE == pytest.approx(rate, rel=tolerance)


@pytest.mark.parametrize(
    ("spec", "frame"),
    [("codec2@700", 0.04), ("codec2@3200", 0.02), ("amr-wb@6600", 0.02), ("speex@4000", 0.02)],
)
def test_silence_that_brings_out_the_end_costs_no_bits(spec: str, frame: float) -> None:
    bits = round(frame * float(spec.partition("@")[2]))
    samples = round(frame * SAMPLE_RATE)
    for num_samples, num_frames in ((10 * samples, 10), (10 * samples + 1, 11), (1, 1)):
        waveform = np.resize(sound(), num_samples)
        assert find(spec).transmit(waveform, SAMPLE_RATE).num_bits == num_frames * bits


@pytest.mark.parametrize("spec", ["codec2@700", "amr-wb@6600"])
def test_the_end_is_not_cut_off_with_the_delay(spec: str, speech: Waveform) -> None:
    coder = find(spec).coder  # type: ignore[attr-defined]
    for num_samples in (1, 3200, 3210):
        decoded = coder.decode(coder.encode(speech[:num_samples]))
        assert len(decoded) >= num_samples + coder.delay


def test_ogg_packets_are_counted_as_by_hand() -> None:
    system = find("opus@12000")
    packets = system.coder.encode(np.resize(sound(), 48_000))  # type: ignore[attr-defined]
    assert sum(ogg_packets(packets.data)) == bytes_by_hand(packets.data)


def bytes_by_hand(data: bytes) -> int:
    """Of all packets but the two headers, by RFC 3533: a segment below 255 bytes ends a packet."""
    sizes, size, place = [], 0, 0
    while place < len(data):
        count = data[place + 26]
        segments = data[place + 27 : place + 27 + count]
        for segment in segments:
            size += segment
            if segment < 255:
                sizes.append(size)
                size = 0
        place += 27 + count + sum(segments)
    return sum(sizes[2:])


@pytest.mark.parametrize(
    "spec", [s for s in STANDARD if s != "original"] + ["speex-nb@2400", "codec2@1200"]
)
def test_the_declared_delay_is_the_real_one(spec: str, speech: Waveform) -> None:
    decoded = transmitted(spec).waveform
    assert abs(estimate_lag(speech, decoded, SAMPLE_RATE).seconds) <= 0.005
    assert abs(lag_by_envelope(speech, decoded)) <= 0.006


@pytest.mark.parametrize("spec", ["opus@6000", "speex@10000", "speex-nb@8000", "amr-wb@6600"])
def test_the_delay_is_the_same_in_a_short_file(spec: str, speech: Waveform) -> None:
    for num_samples in (12_000, 24_000):
        part = speech[:num_samples]
        decoded = find(spec).transmit(part, SAMPLE_RATE).waveform
        assert abs(estimate_lag(part, decoded, SAMPLE_RATE).seconds) <= 0.003


def lag_by_envelope(reference: Waveform, late: Waveform) -> float:
    """Seconds, by brute force: the shift at which both are loud and soft together."""
    hop, most = SAMPLE_RATE // 1000, 30
    telephone = firwin(255, [150, 3400], pass_zero=False, fs=SAMPLE_RATE)

    def loudness(waveform: Waveform) -> np.ndarray:
        band = np.convolve(waveform, telephone, mode="same")
        power = np.convolve(band**2, np.hanning(12 * hop), mode="same")[::hop]
        level = np.log(power + 1e-4 * power.max())
        return level - level.mean()

    first, second = loudness(reference), loudness(late)
    scores = {
        lag: float(first[most:-most] @ np.roll(second, -lag)[most:-most])
        for lag in range(-most, most + 1)
    }
    return max(scores, key=lambda lag: scores[lag]) / 1000


@pytest.mark.parametrize("spec", STANDARD)
def test_a_good_adapter_passes_the_check(spec: str, speech: Waveform) -> None:
    assert check(Broken(spec, np.array), speech, SAMPLE_RATE) == ""


class Broken:
    """The system `name` with `fault` done to what comes out."""

    def __init__(self, name: str, fault: Callable[[Waveform], Waveform]) -> None:
        system = find(name)
        self.fault = fault
        self.name, self.label, self.family = system.name, system.label, system.family
        self.delay, self.codebook_sizes, self.about = system.delay, (), system.about

    def prepare(self, waveforms: Sequence[Waveform], sample_rate: int) -> None:
        pass

    def transmit(self, waveform: Waveform, sample_rate: int) -> Transmission:
        whole = np.array_equal(waveform, recorded())
        sent = transmitted(self.name) if whole else find(self.name).transmit(waveform, sample_rate)
        return sent._replace(waveform=self.fault(sent.waveform).astype(np.float32))


def at_wrong_rate(waveform: Waveform) -> Waveform:
    places = np.arange(len(waveform)) * 16 / 22.05
    return np.interp(places, np.arange(len(waveform)), waveform)


def scrambled(waveform: Waveform) -> Waveform:
    """As loud as it was at every moment, but noise."""
    signs = np.random.default_rng(0).choice([-1, 1], len(waveform))
    return waveform * signs


# Lags are estimated within about 3 ms, of a vocoder's sound least well.
FAULTS: dict[str, tuple[Callable[[Waveform], Waveform], str]] = {
    "truncated": (lambda w: w[:-100], r"samples went in, \[\d+\] came out"),
    "no numbers": (lambda w: np.where(np.arange(len(w)) == 9, np.nan, w), "no numbers"),
    "silent": (np.zeros_like, "silence came out"),
    "soft": (lambda w: 0.1 * w, r"level is off by -(19|20|21)\.\d dB"),
    "loud": (lambda w: 2.5 * w, "level is off by"),
    "late": (lambda w: np.roll(w, 640), r"off by \+(3[7-9]|4[0-3]) ms"),
    "early": (lambda w: np.roll(w, -640), r"off by -(3[7-9]|4[0-3]) ms"),
    "a little late": (lambda w: np.roll(w, 240), r"off by \+1[2-8] ms"),
    "pitch": (at_wrong_rate, "another sound|off by|level"),
    "noise": (
        lambda w: 0.05 * np.random.default_rng(0).standard_normal(len(w)),
        "another sound|level",
    ),
    "scrambled": (scrambled, "STOI|another sound"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("spec", ["original", "opus@24000", "codec2@3200"])
def test_a_broken_adapter_is_caught(spec: str, fault: str, speech: Waveform) -> None:
    damage, sentence = FAULTS[fault]
    reason = check(Broken(spec, damage), speech, SAMPLE_RATE)
    assert re.search(sentence, reason), reason


def test_an_adapter_that_is_late_in_short_files_only_is_caught(speech: Waveform) -> None:
    def late(waveform: Waveform) -> Waveform:
        return np.roll(waveform, 240) if len(waveform) < 3 * SAMPLE_RATE else waveform

    reason = check(Broken("opus@24000", late), speech, SAMPLE_RATE)
    assert re.search(r"of 1\.5 s of speech, the sound is off by \+1[456] ms", reason), reason


def test_another_polarity_is_no_fault(speech: Waveform) -> None:
    assert check(Broken("speex@24000", np.negative), speech, SAMPLE_RATE) == ""


def test_what_cannot_be_judged_is_not_suspicious() -> None:
    for waveform in (np.zeros(9000, np.float32), sound(0.1), sound()[:1]):
        for spec in ("original", "speex@4000", "codec2@700"):
            assert check(find(spec), waveform, SAMPLE_RATE) == ""


def test_a_short_sound_has_to_have_its_length_all_the_same() -> None:
    system = Broken("original", FAULTS["truncated"][0])
    assert "samples went in" in check(system, sound(0.1), SAMPLE_RATE)
    assert "silence came out" in check(Broken("original", np.zeros_like), sound(), SAMPLE_RATE)


def test_the_floor_is_that_of_the_next_lower_rate() -> None:
    assert floor_of("opus@24000") == FLOORS["opus"][24000]
    assert floor_of("snac") == FLOORS["snac"][0]
    assert floor_of("speech-16k@500") is floor_of("encodec:mine@6000") is None
    assert floor_of("x@y/model.safetensors@4000") is floor_of("x@y/opus.safetensors") is None
    assert floor_of("a system of someone's own") is None


def test_unknown_names_and_rates_say_what_there_is() -> None:
    for spec, sentence in {
        "nonsense": "no system 'nonsense': choose from original, opus, codec2",
        "nonsense@8": "no system",
        "opus": "opus needs a bitrate: choose from opus@6000, opus@9000",
        "opus@7": "opus has no 7 bit/s",
        "mimi@7": r"mimi has no 7 bit/s: choose from mimi@275, mimi@412\.5",
        "original@7": "leave it out",
        "speech-16k@7": "speech-16k has no 7 bit/s: choose from 500, 1000",
    }.items():
        with pytest.raises(VqaudioError, match=sentence):
            find_system(spec, sample_rate=SAMPLE_RATE)
    with pytest.raises(ModelError, match=r"no model at absent\.safetensors"):
        find_system("absent.safetensors@500", sample_rate=SAMPLE_RATE)
    with pytest.raises(VqaudioError, match="no system"):
        rate_of("nonsense@8")


def test_a_path_may_hold_the_signs_of_a_spec() -> None:
    assert parse("a@b/model.safetensors") == ("a@b/model.safetensors", None, None)
    assert parse("a@b/c:d.safetensors@500") == ("a@b/c:d.safetensors", None, 500)
    assert parse("mimi:a@b/c@1100") == ("mimi", "a@b/c", 1100)


def test_rates_of_own_models_only() -> None:
    assert rate_of("speech-16k@500") == 16000
    assert rate_of("opus@6000") is rate_of("original") is rate_of("mimi@1100") is None


@pytest.mark.parametrize("family", CLASSICAL)
def test_a_missing_program_is_named_with_its_package(
    family: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    program, package = PROGRAMS[family]
    spec = f"{family}@{CLASSICAL[family].rates[0]}"
    with pytest.raises(MissingError, match=f"no program {program} here: apt install {package}"):
        find_system(spec, sample_rate=SAMPLE_RATE)


def test_an_ffmpeg_without_the_encoder_is_missing_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\necho aac\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingError, match=f"no encoder {ENCODER}: apt install libavcodec-extra"):
        find_system("amr-wb@6600", sample_rate=SAMPLE_RATE)


def test_without_pyav_no_bits_can_be_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    find("opus@6000")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingError, match=r"Opus needs PyAV .* pip install 'vqaudio\[av\]'"):
        find_system("opus@6000", sample_rate=SAMPLE_RATE)


def test_a_program_that_fails_is_quoted(tmp_path: Path) -> None:
    program = tmp_path / "encoder"
    program.write_text("#!/bin/sh\ncat >/dev/null\necho first >&2\necho the reason >&2\nexit 3\n")
    program.chmod(0o755)
    with pytest.raises(VqaudioError, match=r"encoder failed with 3: the reason$"):
        run([str(program)], b"x" * 200_000)
    with pytest.raises(VqaudioError, match="absent does not start"):
        run([str(tmp_path / "absent")])


def test_own_models_share_one_encoding(monkeypatch: pytest.MonkeyPatch, speech: Waveform) -> None:
    coarse, fine = find("speech-16k@1000"), find("speech-16k@4000")
    tokenizer = fine.encoder.tokenizer  # type: ignore[attr-defined]
    calls, encode = [], tokenizer.encode_batch

    def counted(*given: Any, **options: Any) -> list[Tokens]:
        calls.append(given)
        return encode(*given, **options)

    monkeypatch.setattr(tokenizer, "encode_batch", counted)
    waveforms = [speech[:20_000], speech[20_000:47_001]]
    for system in (coarse, fine):
        system.prepare(waveforms, SAMPLE_RATE)
        for waveform in waveforms:
            sent = system.transmit(waveform, SAMPLE_RATE)
            levels = len(system.codebook_sizes)
            alone = tokenizer.encode(waveform, num_codebooks=levels)
            assert sent.codes is not None
            assert np.array_equal(sent.codes, alone.codes)
            assert sent.num_bits == alone.codes.size * 10
            assert np.array_equal(sent.waveform, tokenizer.decode(alone)[0].numpy())
            assert sent.encode_seconds > 0
    shared = [given for given in calls if len(given[0]) == 2]
    assert len(shared) == 1


def test_own_models_at_other_rates_and_lengths(speech: Waveform) -> None:
    system = find("speech-16k", 44100)
    assert len(system.codebook_sizes) == 8
    for num_samples in (1, 441, 30_000):
        sent = system.transmit(speech[:num_samples], 44100)
        assert sent.waveform.shape == (num_samples,)
    assert check(find("speech-16k@4000"), speech, SAMPLE_RATE) == ""


def test_a_copied_model_is_found_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    file = tmp_path / "mine" / "model.safetensors"
    shutil.copy(BUNDLED / "speech-16k.safetensors", file)
    other = shutil.copy(file, tmp_path / "mine" / "model.ckpt")
    for model in (file, file.parent, other):
        system = find(f"{model}@500")
        assert (system.name, system.family) == (f"{model}@500", "vqaudio mine")
        assert system.label == "vqaudio mine 0.5 kbit/s"


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys, vqaudio.systems; "
        "print([m for m in ('torch', 'transformers', 'snac', 'av') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_contract_is_kept_by_every_kind() -> None:
    for spec in (*EVERY_KIND, "speech-16k@500"):
        system = find(spec)
        assert system.name == spec
        for attribute in System.__annotations__:
            assert hasattr(system, attribute), attribute
        assert system.about["mode"]
