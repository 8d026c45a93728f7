"""Probes: they find what is there, find nothing where there is nothing, and hear nobody twice."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from vqaudio.cli.probe import run_probe
from vqaudio.corpora import Utterance
from vqaudio.errors import CorpusError, TokensError, VqaudioError
from vqaudio.metrics import Interval
from vqaudio.probes import (
    TASKS,
    ProbeResult,
    Recording,
    Score,
    Task,
    facts,
    heads,
    learning,
    lines,
    probe,
    probing,
)
from vqaudio.probes.frames import log_mel, normalise, read_frames
from vqaudio.probes.heads import CodesInput, ConvHead, LinearHead, MelInput, Probe
from vqaudio.probes.learning import _pad
from vqaudio.probes.tasks import known_speakers, new_sources, new_speakers, official

RATE, HOP, SIZE, LEVELS = 8000, 160, 16, 2
PITCHES = (300, 900, 1700, 2700)
"""Hz: what is said."""
SPEAKERS = ("ann", "bob", "cleo", "dan", "eve", "fay")


class Coded(NamedTuple):
    codes: NDArray[np.int64]
    hop_length: int
    codebook_sizes: tuple[int, ...]


@dataclass
class Toy:
    """Its codes are the highest band of each frame, and how loud it is."""

    names: NDArray[np.int64] | None = None
    """[Q, K]: other names for the codes."""
    sample_rate: int = RATE

    def encode(self, samples: NDArray[np.float32], /) -> Coded:
        frames = np.pad(samples, (0, -len(samples) % HOP)).reshape(-1, HOP)
        spectrum = np.abs(np.fft.rfft(frames))
        band = spectrum.argmax(axis=1) * SIZE // spectrum.shape[1]
        loud = np.minimum(np.sqrt((frames**2).mean(axis=1)) * 2 * SIZE, SIZE - 1)
        codes = np.stack([band, loud.astype(np.int64)])
        if self.names is not None:
            codes = np.stack([row[of] for row, of in zip(self.names, codes, strict=True)])
        return Coded(codes, HOP, (SIZE, SIZE))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> list[Utterance]:
    """Six speakers, who differ in loudness, say four pitches five times."""
    folder = tmp_path_factory.mktemp("tones")
    random = np.random.default_rng(0)
    found = []
    for speaker, name in enumerate(SPEAKERS):
        for word, pitch in enumerate(PITCHES):
            for take in range(5):
                seconds = random.uniform(0.2, 0.4)
                time = np.arange(round(seconds * RATE)) / RATE
                sound = np.sin(2 * np.pi * pitch * random.uniform(0.95, 1.05) * time)
                sound = 0.12 * (speaker + 1) * (sound + 0.05 * random.standard_normal(len(time)))
                path = folder / f"{name}-{word}-{take}.wav"
                soundfile.write(path, sound, RATE)
                found.append(Utterance(path, name, len(time) / RATE, str(word)))
    return found


@pytest.fixture
def said(corpus: list[Utterance], monkeypatch: pytest.MonkeyPatch) -> Task:
    """What is said, by speakers never heard; narrow probes, one seed, few passes."""
    install(monkeypatch, corpus)
    monkeypatch.setattr(probing, "SEEDS", (0,))
    monkeypatch.setattr(learning, "MIN_STEPS", 40)
    monkeypatch.setattr(heads, "WIDTH", 16)
    return Task(
        "which pitch",
        corpus="tones",
        splits=("all",),
        label=lambda utterance: utterance.text,
        folds=new_speakers(2, use=1),
        new_speakers=True,
    )


def install(monkeypatch: pytest.MonkeyPatch, utterances: Sequence[Utterance]) -> None:
    tones = SimpleNamespace(utterances=lambda root, split: list(utterances))
    monkeypatch.setitem(probing.CORPORA, "tones", tones)


def accuracies(result: ProbeResult) -> list[float]:
    return [score.accuracy.mean for score in result.scores]


def test_what_is_said_is_found(said: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "SEEDS", (0, 1))
    result = probe(Toy(), replace(said, folds=new_speakers(2)), Path())
    assert (result.num_recordings, result.num_speakers, result.num_classes) == (120, 6, 4)
    assert (result.num_folds, result.num_train, result.num_test) == (2, 60, 120)
    assert (result.unit, result.num_units, result.chance) == ("speakers", 6, pytest.approx(0.25))
    assert result.score("tokens", "linear").accuracy.mean > 0.8
    assert result.score("tokens", "conv").accuracy.mean > 0.8
    assert result.score("log-mel", "conv").accuracy.mean > 0.8
    assert [len(score.seeds) for score in result.scores] == [2, 2, 2, 2]
    with pytest.raises(KeyError):
        result.score("tokens", "deep")


def test_who_says_it_is_found_where_the_tokens_tell(said: Task) -> None:
    who = replace(said, label=lambda u: u.speaker, folds=known_speakers(5), new_speakers=False)
    result = probe(Toy(), who, Path())
    assert (result.unit, result.num_units, result.num_train) == ("recordings", 24, 96)
    assert result.score("tokens", "linear").accuracy.mean > 0.9
    # The first level is the pitch alone, which tells nobody from another.
    coarse = probe(Toy(), who, Path(), levels=1)
    assert coarse.score("tokens", "linear").accuracy.mean < 0.5
    assert coarse.num_levels == 1


def test_labels_without_meaning_are_not_found(
    said: Task, corpus: list[Utterance], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = np.random.default_rng(1).permutation([utterance.text for utterance in corpus])
    install(
        monkeypatch,
        [replace(u, text=str(word)) for u, word in zip(corpus, words, strict=True)],
    )
    result = probe(Toy(), said, Path())
    assert max(accuracies(result)) < 0.47  # 0.25 and four deviations of 60 throws


def test_the_same_call_gives_the_same_figures_by_whatever_name_the_codes_go(said: Task) -> None:
    torch.manual_seed(7)
    state = torch.get_rng_state()
    first, again = probe(Toy(), said, Path()), probe(Toy(), said, Path())
    assert first.scores == again.scores
    assert torch.equal(torch.get_rng_state(), state)  # nobody else's luck is touched
    random = np.random.default_rng(3)
    renamed = probe(Toy(np.stack([random.permutation(SIZE) for _ in range(LEVELS)])), said, Path())
    assert accuracies(renamed) == pytest.approx(accuracies(first), abs=0.04)


def test_few_recordings_are_spread_over_labels_and_speakers(said: Task) -> None:
    kept = probing.find_recordings(said, Path(), limit=24)
    pairs = {(recording.label, recording.utterance.speaker) for recording in kept}
    assert len(kept) == len(pairs) == 24
    assert probing.find_recordings(said, Path(), limit=999) == probing.find_recordings(said, Path())


def recordings(*speakers: str, labels: str = "ab", splits: str = "train") -> list[Recording]:
    """Four of each speaker."""
    return [
        Recording(Utterance(Path(f"{name}{n}"), name, 2.0), splits, labels[n % len(labels)])
        for name in speakers
        for n in range(4)
    ]


def test_speakers_that_are_tested_were_never_heard() -> None:
    found = recordings(*SPEAKERS)
    folds = new_speakers(4)(found)
    assert sorted(place for fold in folds for place in fold.test) == list(range(len(found)))
    for fold in folds:
        assert sorted(fold.train + fold.test) == list(range(len(found)))
        heard = {found[place].utterance.speaker for place in fold.train}
        assert not heard & {found[place].utterance.speaker for place in fold.test}
    assert new_speakers(4, use=1)(found) == folds[:1]


def test_each_group_of_speakers_has_each_label() -> None:
    found = recordings("a1", "b1", "c1", labels="x") + recordings("a2", "b2", "c2", labels="y")
    for fold in new_speakers(3)(found):
        assert {found[place].label for place in fold.test} == {"x", "y"}


def test_sources_are_held_out_whole() -> None:
    found = recordings("tux-fr", "tux-ru", "kt-fr", "kt-ru", "fest-ru")
    folds = new_sources("tux", "kt")(found)
    tested = [{found[place].utterance.speaker for place in fold.test} for fold in folds]
    assert tested == [{"tux-fr", "tux-ru"}, {"kt-fr", "kt-ru"}]


def test_known_speakers_are_tested_on_their_last_recordings() -> None:
    found = recordings("ann", "bob")
    (fold,) = known_speakers(4)(found)
    assert fold.test == (3, 7)
    (fold,) = official("test")(found + recordings("ann", splits="test"))
    assert fold == (tuple(range(8)), tuple(range(8, 12)))


@pytest.mark.parametrize("name", TASKS)
def test_tasks_name_corpora_and_splits_that_there_are(name: str) -> None:
    task = TASKS[name]
    assert set(task.splits) <= set(probing.CORPORA[task.corpus].SPLITS)


def test_languages_and_traits_come_from_names_and_lists(tmp_path: Path) -> None:
    language = TASKS["languages"].label
    clips = [
        Utterance(Path(), "tuxpaint-fr", 2.0),
        Utterance(Path(), "tuxpaint-fr", 0.5),
        Utterance(Path(), "klettres-fr", 2.0),
        Utterance(Path(), "fillets-cs-big", 2.0),
    ]
    assert [language(clip) for clip in clips] == ["fr", None, None, None]

    for split, speaker, years, gender in (("train", "0001", 15, "m"), ("test", "0003", 37, "f")):
        (tmp_path / split).mkdir()
        (tmp_path / split / "spk2age").write_text(f"{speaker}\t{years}\n")
        (tmp_path / split / "spk2gender").write_text(f"{speaker}\t{gender}\n")
    wav = tmp_path / "WAVE/SPEAKER0001/000010011.WAV"
    both = [Utterance(wav, speaker, 2.0) for speaker in ("0001", "0003", "0004")]
    assert [TASKS["age"].label(u) for u in both] == ["child", "adult", None]
    assert [TASKS["gender"].label(u) for u in both] == ["m", "f", None]
    elsewhere = Utterance(tmp_path / "x/WAVE/SPEAKER0001/1.WAV", "0001", 2.0)
    with pytest.raises(CorpusError, match="spk2gender is missing: unpack the archive anew"):
        TASKS["gender"].label(elsewhere)


@pytest.mark.parametrize("num_samples", [1, 159, 160, 161, 4000])
def test_log_mel_has_a_frame_a_hop(num_samples: int) -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(num_samples) / RATE).astype(np.float32)
    frames = log_mel(tone, RATE, HOP)
    assert frames.shape == (-(-num_samples // HOP), 80)
    assert np.isfinite(frames).all()


def test_bands_are_normalised_by_what_is_learned_from() -> None:
    items = [torch.randn(50, 3) * 5 + 2, torch.full((4, 3), 100.0)]
    first, second = normalise(items, [0])
    torch.testing.assert_close(first.mean(dim=0), torch.zeros(3))
    assert second.min() > 10


def test_long_recordings_are_cut_and_parts_of_files_found(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "long.wav", np.zeros(12 * RATE), RATE)
    whole = Utterance(tmp_path / "long.wav", "ann", 12.0)
    part = replace(whole, seconds=0.5, start=11.0)
    frames = read_frames(Toy(), [whole, part])
    assert [len(item) for item in frames.codes] == [len(item) for item in frames.mel] == [500, 25]
    assert (frames.num_codes, frames.frame_rate) == (2 * SIZE, 50.0)
    assert int(frames.codes[0][:, 1].min()) >= SIZE


@pytest.mark.parametrize("head", [LinearHead, ConvHead])
def test_what_shares_a_batch_does_not_matter(head: type[LinearHead] | type[ConvHead]) -> None:
    torch.manual_seed(0)
    for embed, items in (
        (CodesInput(9), [torch.randint(9, (n, 2)) for n in (3, 8)]),
        (MelInput(80), [torch.randn(n, 80) for n in (3, 8)]),
    ):
        probe_ = Probe(embed, head(4)).eval()
        for parameter in probe_.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        alone, beside = probe_(*_pad(items[:1])), probe_(*_pad(items))
        torch.testing.assert_close(alone[0], beside[0], rtol=1e-4, atol=1e-4)


def test_bad_input_is_one_sentence(
    said: Task, corpus: list[Utterance], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(VqaudioError, match="there is no task 'digit': choose from digits, speak"):
        probe(Toy(), "digit", tmp_path)
    with pytest.raises(CorpusError, match="fsdd does not exist: run vqaudio download fsdd"):
        probe(Toy(), "digits", tmp_path)
    with pytest.raises(TokensError, match="3 levels asked for, the model has 1 to 2"):
        probe(Toy(), said, tmp_path, levels=3)
    with pytest.raises(CorpusError, match=r"have 1 label \(0\): a probe needs two or more to tell"):
        probe(Toy(), said, tmp_path, limit=1)
    one = replace(said, label=lambda u: u.text if u.speaker == "ann" else "0")
    with pytest.raises(CorpusError, match="120 recordings of tones are too few: there is none of"):
        probe(Toy(), one, tmp_path)
    with pytest.raises(CorpusError, match="there is none to test"):
        probe(Toy(), replace(said, folds=official("test")), tmp_path)
    with pytest.raises(CorpusError, match="have 0 labels: a probe needs"):
        probe(Toy(), replace(said, label=lambda u: None), tmp_path)


def test_a_rule_that_tests_who_was_heard_is_a_mistake(said: Task) -> None:
    with pytest.raises(AssertionError, match="ann"):
        probe(Toy(), replace(said, folds=known_speakers(5)), Path())


def test_the_command_prints_lines_or_json(said: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(probing.TASKS, "pitches", said)
    told = run_probe(Toy(), "pitches", Path(), levels=None, limit=60, as_json=False)
    assert told[0] == "pitches: which pitch"
    assert told[2].startswith("60 recordings of 6 speakers, 4 classes: 24 to learn from, 36 tested")
    assert told[3] == "always the same answer   25.0 %"
    (text,) = run_probe(Toy(), "pitches", Path(), levels=1, limit=60, as_json=True)
    found = json.loads(text)
    assert (found["task"], found["num_levels"]) == ("pitches", 1)
    assert [(score["representation"], score["head"]) for score in found["scores"]] == [
        ("log-mel", "linear"),
        ("log-mel", "conv"),
        ("tokens", "linear"),
        ("tokens", "conv"),
    ]


def test_an_interval_that_there_is_not_is_null() -> None:
    score = Score("tokens", "conv", Interval(0.5, math.nan, math.nan), (0.5,))
    result = ProbeResult(
        *("x", "what", "Toy", 2, 50.0, 9, 1, 2, 3, 6, 3, "speakers", 1, 0.5), (score,), 1.0
    )
    (row,) = facts(result)["scores"]
    assert (row["accuracy"], row["low"], row["high"]) == (0.5, None, None)
    assert lines(result)[2].endswith(
        ", 2 classes, 3 folds: 6 to learn from, 3 tested, means over 1 speakers"
    )
