"""Evaluations: the same twice, in any batches, stopped and resumed; no silent gaps."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from sounds import SAMPLE_RATE, babble

import vqaudio
from vqaudio.errors import AudioError, CorpusError, MissingError, VqaudioError
from vqaudio.evaluate import (
    Evaluation,
    Journal,
    Question,
    difference_lines,
    differences,
    evaluate,
    find_recordings,
    measure_usage,
    measuring,
    read_recording,
    usage_lines,
)
from vqaudio.evaluate import evaluation as evaluation_module
from vqaudio.systems import find_system
from vqaudio.systems.system import Transmission

pytest.importorskip("pystoi", reason="needs vqaudio[eval]")

METRICS = ("mel_distance", "si_sdr", "stoi")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three speakers, two recordings each, of unequal lengths."""
    root = tmp_path_factory.mktemp("held-out")
    for speaker in range(3):
        for take in range(2):
            path = root / f"speaker{speaker}" / f"{take}.wav"
            path.parent.mkdir(exist_ok=True)
            sound = babble(speaker, take, seconds=1 + 0.3 * speaker + 0.11 * take)
            soundfile.write(path, sound, SAMPLE_RATE)
    return root


def question(folder: Path, **changes: Any) -> Question:
    asked = Question(folder, "speech-16k", ("original",), METRICS, device="cpu")
    return asked._replace(**changes)


@pytest.fixture(scope="module")
def evaluation(folder: Path) -> Evaluation:
    return evaluate(question(folder), command="vqaudio evaluate speech-16k held-out")


def figures(evaluation: Evaluation) -> Any:
    """All that does not tell of time."""
    clock = {"encode_seconds", "decode_seconds"}
    return (
        evaluation.model_dump(exclude={"date", "systems", "files"}),
        [row.model_dump(exclude={"encode_speed", "decode_speed"}) for row in evaluation.systems],
        [row.model_dump(exclude=clock) for row in evaluation.files],
    )


def test_the_model_is_measured_at_its_bitrates_beside_the_recording(
    evaluation: Evaluation,
) -> None:
    rates = [row.bitrate for row in evaluation.systems]
    assert [row.name for row in evaluation.systems] == [
        *(f"speech-16k@{rate}" for rate in (500, 1000, 2000, 4000)),
        "original",
    ]
    # A last frame is paid for in full.
    assert rates[:4] == pytest.approx([500, 1000, 2000, 4000], rel=0.02)
    assert len(evaluation.files) == 5 * evaluation.num_files == 30
    assert evaluation.num_speakers == 3
    original = evaluation.systems[-1].metrics
    assert original["mel_distance"].mean == 0
    assert original["stoi"].mean == pytest.approx(1)
    assert original["si_sdr"].count == 0, "infinite: no value, not a number made up"
    distances = [row.metrics["mel_distance"].mean for row in evaluation.systems[:4]]
    assert distances == sorted(distances, key=lambda d: -(d or 0)), "more bits, nearer"


def test_the_rows_are_the_means_of_the_files(evaluation: Evaluation) -> None:
    for row in evaluation.systems:
        scores = [f.scores["stoi"] for f in evaluation.files if f.system == row.name]
        figure = row.metrics["stoi"]
        assert figure.mean == pytest.approx(np.mean([s for s in scores if s is not None]))
        assert figure.count == 6
        assert figure.low is not None
        assert figure.low <= figure.mean


def test_twice_is_the_same_to_the_last_digit(folder: Path, evaluation: Evaluation) -> None:
    again = evaluate(question(folder), command=evaluation.command)
    assert figures(again) == figures(evaluation)


@pytest.mark.parametrize("changes", [{"batch_size": 4}, {"workers": 2}], ids=["batch", "workers"])
def test_batches_and_processes_change_nothing(
    folder: Path, evaluation: Evaluation, changes: dict[str, int]
) -> None:
    other = evaluate(question(folder, **changes), command=evaluation.command)
    for mine, theirs in zip(evaluation.files, other.files, strict=True):
        assert (mine.file, mine.system, mine.num_bits) == (
            theirs.file,
            theirs.system,
            theirs.num_bits,
        )
        for name, value in mine.scores.items():
            assert theirs.scores[name] == (
                None if value is None else pytest.approx(value, abs=1e-6)
            )


def test_usage_and_entropy_are_those_of_the_codes(folder: Path, evaluation: Evaluation) -> None:
    tokenizer = vqaudio.load("speech-16k", device="cpu")
    codes = [tokenizer.encode(read_recording(r, 16_000)).codes for r in find_recordings(folder)]
    full = evaluation.systems[3]
    assert full.name == "speech-16k@4000"
    for level, usage in enumerate(full.usage):
        values, counts = np.unique(np.concatenate([c[level] for c in codes]), return_counts=True)
        shares = counts / counts.sum()
        assert usage.used == len(values) / 1024
        assert usage.entropy == pytest.approx(-(shares * np.log2(shares)).sum())
        assert sorted(usage.histogram, reverse=True)[: len(counts)] == sorted(counts, reverse=True)
    tokens = sum(c.shape[1] for c in codes)
    bits = tokens * sum(usage.entropy for usage in full.usage)
    assert full.entropy_bitrate == pytest.approx(bits / evaluation.seconds)
    found = measure_usage("speech-16k", folder, device="cpu")
    assert found.levels == full.usage
    assert found.entropy_bitrate == pytest.approx(full.entropy_bitrate)
    assert len(usage_lines(found)) == 2 + 8


def test_a_stopped_evaluation_goes_on(folder: Path, evaluation: Evaluation, tmp_path: Path) -> None:
    def journal() -> Path:
        (path,) = tmp_path.glob(".measured-*.jsonl")
        return path

    def stop_after_two(measured: Iterable[Any], total: int) -> Iterable[Any]:
        assert total == 6
        for place, one in enumerate(measured):
            if place == 2:
                raise KeyboardInterrupt
            yield one

    with pytest.raises(KeyboardInterrupt):
        evaluate(question(folder), journal=Journal(tmp_path), progress=stop_after_two)
    lines = journal().read_text().splitlines()
    assert len(lines) == 3
    journal().write_text("\n".join([*lines[:2], lines[2][:100]]))  # killed while it wrote
    # Another question in the same folder takes nothing from it, and nothing away.
    other = Journal(tmp_path)
    evaluate(question(folder, metrics=("stoi",), limit=2), journal=other)
    assert len(list(tmp_path.iterdir())) == 2
    other.remove()
    new = []

    def count(measured: Iterable[Any], total: int) -> Iterable[Any]:
        for one in measured:
            new.append(len(journal().read_text().splitlines()))
            yield one

    kept = Journal(tmp_path)
    resumed = evaluate(question(folder), command=evaluation.command, journal=kept, progress=count)
    assert new == [2, 2, 3, 4, 5, 6], "two are known already"
    assert figures(resumed) == figures(evaluation)
    kept.remove()
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_read_is_named(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "data")
    whole = (tmp_path / "data/speaker1/0.wav").read_bytes()
    samples = np.frombuffer(whole[44:], np.int16).astype(np.float32) / 32768
    samples[5000] = np.nan
    soundfile.write(tmp_path / "data/speaker1/0.wav", samples, SAMPLE_RATE, subtype="FLOAT")
    found = evaluate(question(tmp_path / "data", systems=()))
    assert list(found.unreadable) == ["speaker1/0.wav"]
    assert "NaN or infinite" in found.unreadable["speaker1/0.wav"]
    assert found.num_files == 5
    assert {row.file for row in found.files}.isdisjoint(found.unreadable)
    (tmp_path / "data/speaker1/empty.wav").touch()
    usage = measure_usage("speech-16k", tmp_path / "data", device="cpu")
    assert set(usage.unreadable) == {"speaker1/0.wav", "speaker1/empty.wav"}
    assert usage.num_files == 5


def test_what_is_not_installed_is_a_row_that_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(
        evaluation_module, "missing", lambda name: "install it" if name == "stoi" else ""
    )
    found = evaluate(question(folder, systems=("opus@6000",), limit=1))
    row = found.systems[-1]
    assert (row.name, row.status, row.metrics) == ("opus@6000", "skipped", {})
    assert "opus-tools" in row.reason
    skipped = {m.name: m.reason for m in found.metrics if m.status == "skipped"}
    assert skipped == {"stoi": "install it"}
    assert all("stoi" not in row.metrics for row in found.systems)


class Broken:
    """A system that plays its speech too late."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def transmit(self, waveform: Any, sample_rate: int) -> Transmission:
        sent: Transmission = self.inner.transmit(waveform, sample_rate)
        late = np.concatenate([np.zeros(800, np.float32), sent.waveform])[: len(waveform)]
        return sent._replace(waveform=late)


def test_a_faulty_adapter_is_marked(
    folder: Path, evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(name: str, **options: Any) -> Any:
        system = find_system(name, **options)
        return Broken(system) if name == "original" else system

    monkeypatch.setattr(evaluation_module, "find_system", find)
    found = evaluate(question(folder, limit=2))
    assert evaluation.systems[-1].status == "ok"
    assert (found.systems[-1].name, found.systems[-1].status) == ("original", "suspicious")
    assert "off by +50 ms" in found.systems[-1].reason


class Parrot:
    """A recogniser that leaves out every third word."""

    name = "parrot"

    def transcribe(self, waveform: Any, sample_rate: int) -> str:
        return "one two four" if len(waveform) > 1.5 * sample_rate else "one"


def test_word_errors_are_those_of_all_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("jiwer", reason="needs vqaudio[eval]")
    monkeypatch.setattr(measuring, "find_recognizer", lambda spec: Parrot())
    measuring.recognizer_of.cache_clear()
    for name, seconds, text in (("long", 2, "one two three four"), ("short", 1, "one")):
        soundfile.write(tmp_path / f"{name}.wav", babble(0, 0, seconds=seconds), SAMPLE_RATE)
        (tmp_path / f"{name}.txt").write_text(text)
    soundfile.write(tmp_path / "mute.wav", babble(1, 0, seconds=1), SAMPLE_RATE)
    asked = question(tmp_path, model=None, metrics=("stoi",), recognizer="parrot")
    found = evaluate(asked)
    measuring.recognizer_of.cache_clear()
    figure = found.systems[0].metrics["wer"]
    assert (figure.mean, figure.count) == (pytest.approx(1 / 5), 2)
    assert found.metrics[-1].status == "ok"
    (same,) = (d for d in differences(found, "original", "original") if d.metric.name == "wer")
    assert same.a.mean == figure.mean, "as in the evaluation"


FAILED = {"status": "suspicious", "reason": "no"}
SKIPPED = {"status": "skipped", "reason": "install it"}


def test_differences_are_paired(evaluation: Evaluation) -> None:
    found = {d.metric.name: d for d in differences(evaluation, "speech-16k@4000", "original")}
    stoi = found["stoi"]
    assert (stoi.verdict, stoi.a_better, stoi.b_better) == ("b", 0, 6)
    assert stoi.a.mean is not None
    assert stoi.b.mean is not None
    assert stoi.difference.mean == pytest.approx(stoi.a.mean - stoi.b.mean)
    assert found["si_sdr"].verdict == "open", "no file has both values"
    same = differences(evaluation, "original", "original")
    assert {d.verdict for d in same} == {"open"}
    lines = difference_lines(evaluation, "speech-16k@4000", "original")
    assert any("b is better" in line for line in lines)
    assert any("too few files to say" in line for line in lines)
    doubtful = evaluation.model_copy(
        update={
            "systems": (evaluation.systems[0].model_copy(update=FAILED), *evaluation.systems[1:]),
            "metrics": (*evaluation.metrics, evaluation.metrics[0].model_copy(update=SKIPPED)),
        }
    )
    lines = difference_lines(doubtful, "speech-16k@4000", "original")
    assert "speech-16k@500 is suspicious: no" in lines
    assert lines[-1].endswith("skipped: install it")
    with pytest.raises(VqaudioError, match=r"no figures of opus@1: not measured"):
        differences(evaluation, "opus@1", "original")


class Moody:
    """A system that fails on the second recording."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def transmit(self, waveform: Any, sample_rate: int) -> Transmission:
        self.calls += 1
        if self.calls == 2:
            raise VqaudioError("out of sorts")
        sent: Transmission = self.inner.transmit(waveform, sample_rate)
        return sent


def test_a_system_that_fails_on_a_file_is_marked_and_stops_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moody = Moody(find_system("original", sample_rate=16_000))

    def find(name: str, **options: Any) -> Any:
        return moody if name == "original" else find_system(name, **options)

    monkeypatch.setattr(measuring, "find_system", find)
    measuring._systems.cache_clear()
    found = evaluate(question(folder, limit=3))
    measuring._systems.cache_clear()
    row = found.systems[-1]
    assert (row.status, row.reason) == ("suspicious", "failed on 1 of 3 files: out of sorts")
    assert row.metrics["stoi"].count == 2
    faults = [file.fault for file in found.files if file.system == "original"]
    assert faults == ["", "out of sorts", ""]
    assert found.num_files == 3


def test_two_systems_without_a_model(folder: Path) -> None:
    found = evaluate(question(folder, model=None, systems=("speech-16k@500", "original"), limit=2))
    assert (found.sample_rate, found.model) == (16_000, {})
    assert [row.name for row in found.systems] == ["speech-16k@500", "original"]


def test_texts_and_speakers(tmp_path: Path) -> None:
    chapter = tmp_path / "84" / "121"
    chapter.mkdir(parents=True)
    for stem in ("84-121-0000", "84-121-0001"):
        soundfile.write(chapter / f"{stem}.flac", babble(0, 0, seconds=1), SAMPLE_RATE)
    (chapter / "84-121.trans.txt").write_text("84-121-0000 GO DO YOU HEAR\n84-121-0001\n")
    soundfile.write(tmp_path / "loose.wav", babble(1, 0, seconds=1), SAMPLE_RATE)
    (tmp_path / "loose.txt").write_text("hello\nthere\n")
    found = {r.name: r.utterance for r in find_recordings(tmp_path)}
    assert {name: u.text for name, u in found.items()} == {
        "84/121/84-121-0000.flac": "GO DO YOU HEAR",
        "84/121/84-121-0001.flac": None,
        "loose.wav": "hello there",
    }
    assert found["84/121/84-121-0000.flac"].speaker == "84"
    assert [r.name for r in find_recordings(tmp_path, limit=2)] == [
        "84/121/84-121-0000.flac",
        "84/121/84-121-0001.flac",
    ]


def test_parts_of_a_file(tmp_path: Path) -> None:
    sound = babble(0, 0, seconds=3).astype(np.float32)
    soundfile.write(tmp_path / "long.wav", sound, SAMPLE_RATE, subtype="FLOAT")
    (tmp_path / "list.jsonl").write_text(
        '{"audio_filepath": "long.wav", "offset": 1.0, "duration": 0.5, "text": "a"}\n'
        '{"audio_filepath": "long.wav", "duration": 0.25}\n'
    )
    first, second = find_recordings(tmp_path / "list.jsonl")
    assert (first.name, second.name) == ("long.wav@1.0", "long.wav")
    assert first.utterance.text == "a"
    np.testing.assert_array_equal(read_recording(first, SAMPLE_RATE), sound[16_000:24_000])
    np.testing.assert_array_equal(read_recording(second, SAMPLE_RATE), sound[:4000])
    with (tmp_path / "list.jsonl").open("a") as file:  # once more, and as near as can be
        file.write('{"audio_filepath": "long.wav", "offset": 1.0, "duration": 0.4}\n')
        file.write('{"audio_filepath": "long.wav", "offset": 1.000001, "duration": 0.1}\n')
    names = [recording.name for recording in find_recordings(tmp_path / "list.jsonl")]
    assert names == ["long.wav@1.0", "long.wav", "long.wav@1.0#2", "long.wav@1.000001"]
    usage = measure_usage("speech-16k", tmp_path / "list.jsonl", device="cpu")
    assert usage.seconds == pytest.approx(1.25)


def test_bad_questions(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="does not exist"):
        evaluate(question(tmp_path / "nowhere"))
    with pytest.raises(VqaudioError, match="no metric 'beauty': choose from mel_distance"):
        evaluate(question(folder, metrics=("beauty",)))
    with pytest.raises(VqaudioError, match="opus"):
        evaluate(question(folder, systems=("opsu@6000",)))
    soundfile.write(tmp_path / "a.wav", np.full(100, math.inf), SAMPLE_RATE, subtype="FLOAT")
    with pytest.raises(AudioError, match="can be read"):
        evaluate(question(tmp_path))
    with pytest.raises(AudioError, match="can be read"):
        measure_usage("speech-16k", tmp_path, device="cpu")


def test_a_missing_peer_alone_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(VqaudioError, match="none of opus@6000 is on this machine"):
        evaluate(question(folder, model=None, systems=("opus@6000",)))
    assert issubclass(MissingError, VqaudioError)
