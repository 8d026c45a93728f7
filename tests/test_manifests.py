"""Manifests that people already have: text, NeMo, Kaldi, Lhotse, Hugging Face; and their faults."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from vqaudio.corpora import Utterance, huggingface, manifest
from vqaudio.errors import CorpusError


def write_sound(path: Path, *, seconds: float = 1.0, channels: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(0).uniform(-0.1, 0.1, (round(seconds * 8000), channels))
    soundfile.write(path, samples, 8000)
    return path


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    """A folder with long.wav of 10 s, and short.wav of 1 s."""
    write_sound(tmp_path / "sounds/long.wav", seconds=10)
    write_sound(tmp_path / "sounds/short.wav")
    return tmp_path


def nemo(folder: Path, *entries: dict[str, Any], name: str = "m.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(f"{json.dumps(entry)}\n" for entry in entries), encoding="utf-8")
    return path


def test_a_list_of_paths(sounds: Path) -> None:
    absolute = sounds / "sounds/long.wav"
    listed = sounds / "list.txt"
    listed.write_text(f"sounds/short.wav\n\n{absolute}\n")
    assert manifest.utterances(listed, "all") == [
        Utterance(sounds / "sounds/short.wav", str(sounds / "sounds/short.wav"), 1.0),
        Utterance(absolute, str(absolute), 10.0),
    ]


def test_nemo_lines_are_parts_of_files(sounds: Path) -> None:
    path = nemo(
        sounds,
        {"audio_filepath": "sounds/long.wav", "offset": 2.5, "duration": 3, "text": "a\u2028b"},
        {"audio_filepath": "sounds/long.wav", "offset": 9, "speaker": 7, "lang": "en"},
        {"audio_filepath": "sounds/short.wav", "duration": 1.2, "speaker": "x"},
    )
    long, short = sounds / "sounds/long.wav", sounds / "sounds/short.wav"
    assert manifest.utterances(path, "all") == [
        Utterance(long, str(long), 3.0, "a\u2028b", 2.5),
        Utterance(long, "7", 1.0, None, 9.0, "en"),
        Utterance(short, "x", 1.0),  # cut at the end of the file
    ]
    (path.parent / "m.json").write_bytes(path.read_bytes())
    (path.parent / "m.jsonl.gz").write_bytes(gzip.compress(path.read_bytes()))
    for name in ("m.json", "m.jsonl.gz"):
        again = manifest.utterances(path.parent / name, "all")
        assert again == manifest.utterances(path, "all")


def test_paths_may_start_at_the_working_folder(
    sounds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(sounds)
    (sounds / "lists").mkdir()
    path = nemo(sounds / "lists", {"audio_filepath": "sounds/short.wav"})
    assert [u.path for u in manifest.utterances(path, "all")] == [Path("sounds/short.wav")]


def test_the_same_files_are_held_out_wherever_the_manifest_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{index}.wav" for index in range(30)]
    for name in names:
        write_sound(tmp_path / "here/sounds" / name, seconds=0.1)
    nemo(tmp_path / "here", *({"audio_filepath": f"sounds/{name}"} for name in names))
    first = manifest.utterances(tmp_path / "here/m.jsonl", "validation")
    (tmp_path / "here").rename(tmp_path / "there")
    monkeypatch.chdir(tmp_path)
    again = manifest.utterances(Path("there/m.jsonl"), "validation")
    assert [u.path.name for u in again] == [u.path.name for u in first]
    assert 0 < len(again) < 30
    assert {Path(u.speaker) for u in again} == {u.path.absolute() for u in again}


def test_speakers_are_held_out_whole(sounds: Path) -> None:
    entries = [
        {"audio_filepath": "sounds/long.wav", "offset": i / 10, "duration": 0.1, "speaker": i // 5}
        for i in range(99)
    ]
    path = nemo(sounds, *entries)
    parts = {split: manifest.utterances(path, split) for split in manifest.SPLITS}
    assert len(parts["train"]) + len(parts["validation"]) == len(parts["all"]) == 99
    assert parts["train"]
    assert parts["validation"]
    heard, held_out = ({u.speaker for u in parts[s]} for s in ("train", "validation"))
    assert not heard & held_out


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('{"audio_filepath": "sounds/short.wav"', r"line 2 is no JSON \(.*\): each line of"),
        ('["sounds/short.wav"]', "line 2 is no JSON object: each line must be one"),
        ('{"path": "sounds/short.wav"}', r'line 2 has no "audio_filepath": give the path of'),
        ('{"audio_filepath": ["a", "b"]}', 'line 2 has no "audio_filepath"'),
        (
            '{"audio_filepath": "gone.wav"}',
            r"line 2: cannot read .*gone\.wav: No such file .*; put",
        ),
        (
            '{"audio_filepath": "m.jsonl"}',
            r"line 2: .*m\.jsonl is not audio .*, or correct the lin",
        ),
        (
            '{"audio_filepath": "sounds/short.wav", "offset": -1}',
            "line 2: .*starts at -1 s: give 0",
        ),
        ('{"audio_filepath": "sounds/short.wav", "duration": -1}', "line 2: .*lasts -1 s: give 0"),
        ('{"audio_filepath": "sounds/short.wav", "duration": NaN}', "line 2: .*lasts nan s: give"),
        ('{"audio_filepath": "sounds/short.wav", "offset": "1"}', "\"offset\" is '1': give a numb"),
        (
            '{"audio_filepath": "sounds/short.wav", "offset": 1.5}',
            "starts at 1.5 s, and .* has 1 s",
        ),
        (
            '{"audio_filepath": "sounds/short.wav", "offset": 0.5, "duration": 1.1}',
            r"line 2: the utterance ends at 1\.6 s, and .*short\.wav has 1 s: give an end",
        ),
    ],
)
def test_faults_of_a_manifest_name_the_line(sounds: Path, line: str, fault: str) -> None:
    path = sounds / "m.jsonl"
    path.write_text(f'{{"audio_filepath": "sounds/long.wav"}}\n{line}\n')
    with pytest.raises(CorpusError, match=fault):
        manifest.utterances(path, "all")


def test_what_is_no_manifest_is_said(tmp_path: Path) -> None:
    for root in (tmp_path / "gone.txt", tmp_path):
        with pytest.raises(CorpusError, match=r"is no manifest: name a \.txt, \.jsonl or"):
            manifest.download(root, ["train"])
    (tmp_path / "m.csv").touch()
    with pytest.raises(CorpusError, match=r"m\.csv has a suffix that no manifest has: call a list"):
        manifest.utterances(tmp_path / "m.csv", "train")
    (tmp_path / "m.txt").write_text("\n")
    with pytest.raises(CorpusError, match=r"m\.txt lists no recording: name another manifest"):
        manifest.utterances(tmp_path / "m.txt", "train")
    (tmp_path / "m.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CorpusError, match=r"m\.txt is not UTF-8 text: convert it"):
        manifest.utterances(tmp_path / "m.txt", "train")
    (tmp_path / "m.jsonl.gz").write_bytes(b"plain")
    with pytest.raises(CorpusError, match=r"cannot read .*m\.jsonl\.gz: .*; name a file"):
        manifest.utterances(tmp_path / "m.jsonl.gz", "train")


@pytest.fixture
def kaldi(sounds: Path) -> Path:
    """A data folder with two recordings and three segments."""
    folder = sounds / "data"
    folder.mkdir()
    (folder / "wav.scp").write_text(f"long {sounds}/sounds/long.wav\nshort ../sounds/short.wav\n")
    (folder / "segments").write_text("u1 long 0.5 2\nu2 long 9.0 10.2\nu3 short 0.25 -1\n")
    (folder / "utt2spk").write_text("u1 anna\nu2 anna\n")
    (folder / "text").write_text("u1 GO DO\nu2\n")
    return folder


@pytest.mark.parametrize("name", ["data", "data/wav.scp"])
def test_a_kaldi_folder_with_segments(sounds: Path, kaldi: Path, name: str) -> None:
    long, short = sounds / "sounds/long.wav", kaldi / "../sounds/short.wav"
    assert manifest.utterances(sounds / name, "all") == [
        Utterance(long, "anna", 1.5, "GO DO", 0.5),
        Utterance(long, "anna", 1.0, None, 9.0),
        Utterance(short, str(sounds / "sounds/short.wav"), 0.75, None, 0.25),
    ]


def test_a_kaldi_folder_without_segments(sounds: Path, kaldi: Path) -> None:
    (kaldi / "segments").unlink()
    (kaldi / "utt2spk").write_text("short berta\n")
    found = manifest.utterances(kaldi, "all")
    assert [(u.speaker, u.seconds) for u in found] == [
        (str(sounds / "sounds/long.wav"), 10.0),
        ("berta", 1.0),
    ]


@pytest.mark.parametrize(
    ("file", "line", "fault"),
    [
        (
            "wav.scp",
            "z flac -dc z.flac |",
            r"wav\.scp, line 3 is a command \(flac -dc z\.flac \|\)",
        ),
        ("wav.scp", "long other.wav", r"wav\.scp, line 3: long is there twice: remove one"),
        ("wav.scp", "z", r"wav\.scp, line 3 names no file: a line is `<recording> <path>`"),
        ("segments", "u4 gone 0 1", r"segments, line 4: .*wav\.scp has no recording gone: add it"),
        ("segments", "u4 long 0", r"segments, line 4: got `long 0` after the name, a line is"),
        ("segments", "u4 long 0 x", r"segments, line 4: got `long 0 x` after the name"),
        ("segments", "u4 long 2 1", r"segments, line 4: the utterance lasts -1 s: give 0 or more"),
        ("segments", "u4 long 9 11", r"segments, line 4: the utterance ends at 11 s, and .* 10 s"),
    ],
)
def test_faults_of_a_kaldi_folder_name_the_line(
    kaldi: Path, file: str, line: str, fault: str
) -> None:
    with (kaldi / file).open("a") as table:
        table.write(f"{line}\n")
    with pytest.raises(CorpusError, match=fault):
        manifest.utterances(kaldi, "all")


@pytest.fixture
def lhotse() -> Any:
    return pytest.importorskip("lhotse", reason="lhotse is not installed")


def save_cuts(lhotse: Any, folder: Path, change: Callable[[Any], Any], *names: str) -> Path:
    """A manifest of one cut per sound file, made by the library."""
    cuts = []
    for name in names:
        recording = lhotse.Recording.from_file(folder / "sounds" / name, recording_id=name)
        said = lhotse.SupervisionSegment(
            id=name, recording_id=name, start=0, duration=1, speaker="anna", text="GO"
        )
        cut = lhotse.MonoCut(
            id=name, start=0, duration=1, channel=0, recording=recording, supervisions=[said]
        )
        cuts.append(change(cut))
    path = folder / "cuts.jsonl.gz"
    lhotse.CutSet.from_cuts(cuts).to_file(path)
    return path


def test_lhotse_cuts(lhotse: Any, sounds: Path) -> None:
    path = save_cuts(lhotse, sounds, lambda cut: cut.truncate(offset=0.25), "long.wav", "short.wav")
    assert manifest.utterances(path, "all") == [
        Utterance(sounds / "sounds/long.wav", "anna", 0.75, "GO", 0.25),
        Utterance(sounds / "sounds/short.wav", "anna", 0.75, "GO", 0.25),
    ]


def as_command(cut: Any) -> Any:
    """Lhotse would run it."""
    (source,) = cut.recording.sources
    source.type, source.source = "command", f"cat {source.source}"
    return cut


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda cut: cut.pad(duration=2.0), r"cut 1 is a MixedCut, and only a MonoCut is a part"),
        (lambda cut: cut.perturb_speed(1.1), r"cut 1 has no audio of one file as it is: save the"),
        (as_command, r"cut 1 has no audio of one file as it is: save the"),
    ],
    ids=["padded", "faster", "a command"],
)
def test_lhotse_cuts_that_are_no_part_of_a_file_are_refused(
    lhotse: Any, sounds: Path, change: Callable[[Any], Any], fault: str
) -> None:
    path = save_cuts(lhotse, sounds, change, "short.wav")
    with pytest.raises(CorpusError, match=fault):
        manifest.utterances(path, "all")


def test_lhotse_cuts_of_stereo_and_of_two_speakers_are_refused(lhotse: Any, sounds: Path) -> None:
    write_sound(sounds / "sounds/stereo.wav", channels=2)
    path = save_cuts(lhotse, sounds, lambda cut: cut, "stereo.wav")
    with pytest.raises(CorpusError, match="cut 1 is one of the 2 channels of its file: save the"):
        manifest.utterances(path, "all")
    other = lhotse.SupervisionSegment(
        id="b", recording_id="short.wav", start=0, duration=1, speaker="berta"
    )

    def add(cut: Any) -> Any:
        cut.supervisions.append(other)
        return cut

    path = save_cuts(lhotse, sounds, add, "short.wav")
    with pytest.raises(CorpusError, match="cut 1 has 2 speakers: cut it by speaker first"):
        manifest.utterances(path, "all")


def test_lhotse_says_what_it_cannot_read(lhotse: Any, sounds: Path) -> None:
    path = nemo(sounds, {"type": "MonoCut", "id": "a"}, name="cuts.jsonl")
    with pytest.raises(CorpusError, match=r"cut 1: lhotse cannot read it \(\w+: .*\): give a mani"):
        manifest.utterances(path, "all")


def test_without_lhotse(sounds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lhotse", None)
    path = nemo(sounds, {"type": "MonoCut", "id": "a"})
    with pytest.raises(CorpusError, match=r"needs lhotse: pip install 'vqaudio\[lhotse\]'"):
        manifest.utterances(path, "all")


@pytest.fixture
def datasets(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return pytest.importorskip("datasets", reason="datasets is not installed")


def make_dataset(datasets: Any, sounds: Path, count: int) -> Any:
    columns = {
        "sound": [str(sounds / "sounds/short.wav")] * count,
        "speaker_id": [index % 2 for index in range(count)],
        "sentence": ["GO", None] * (count // 2),
    }
    return datasets.Dataset.from_dict(columns).cast_column("sound", datasets.Audio())


def test_a_hugging_face_dataset_in_a_folder(datasets: Any, sounds: Path) -> None:
    root = sounds / "saved"
    make_dataset(datasets, sounds, 4).save_to_disk(root)
    with pytest.raises(CorpusError, match="saved has not been prepared: run vqaudio download"):
        huggingface.utterances(root, "train")
    huggingface.download(root, ["train"])
    found = huggingface.utterances(root, "all")
    assert [(u.speaker, u.seconds, u.text) for u in found] == [
        ("0", 1.0, "GO"),
        ("1", 1.0, None),
    ] * 2
    assert all(root / ".vqaudio" in u.path.parents for u in found)
    speakers = {
        s: {u.speaker for u in huggingface.utterances(root, s)} for s in ("train", "validation")
    }
    assert len(speakers["train"]) == len(speakers["validation"]) == 1
    assert speakers["train"] != speakers["validation"]
    with pytest.raises(
        CorpusError, match="has no split 'test': choose from train, validation, all"
    ):
        huggingface.utterances(root, "test")


def test_a_hugging_face_dataset_is_prepared_once_until_it_is_saved_anew(
    datasets: Any, sounds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = sounds / "saved"
    make_dataset(datasets, sounds, 2).save_to_disk(root)
    huggingface.download(root, [])
    with monkeypatch.context() as context:
        context.setattr(huggingface, "_load", None)
        huggingface.download(root, [])
    make_dataset(datasets, sounds, 6).save_to_disk(root)
    huggingface.download(root, [])
    assert len(huggingface.utterances(root, "all")) == 6


def test_a_hugging_face_dataset_keeps_its_own_splits(datasets: Any, sounds: Path) -> None:
    root = sounds / "saved"
    parts = {"train": make_dataset(datasets, sounds, 4), "test": make_dataset(datasets, sounds, 2)}
    datasets.DatasetDict(parts).save_to_disk(root)
    huggingface.download(root, ["train"])
    counts = {s: len(huggingface.utterances(root, s)) for s in ("train", "test", "all")}
    assert counts == {"train": 4, "test": 2, "all": 6}
    with pytest.raises(CorpusError, match="has no split 'validation': choose from train, test"):
        huggingface.utterances(root, "validation")


def test_hugging_face_faults_say_what_to_do(
    datasets: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets.Dataset.from_dict({"text": ["GO"]}).save_to_disk(tmp_path / "texts")
    with pytest.raises(CorpusError, match="has no column of sounds, only text: cast one to"):
        huggingface.download(tmp_path / "texts", ["train"])
    silent = datasets.Dataset.from_dict({"audio": [None]}).cast_column("audio", datasets.Audio())
    silent.save_to_disk(tmp_path / "silent")
    with pytest.raises(
        CorpusError, match="row 0 of the dataset, counted from 0, has no sound: fil"
    ):
        huggingface.download(tmp_path / "silent", ["train"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(CorpusError, match=r"cannot load .*empty: .*; name a folder from save_to"):
        huggingface.download(tmp_path / "empty", ["train"])
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(CorpusError, match=r"pip install 'vqaudio\[hf\]'"):
        huggingface.download(tmp_path / "texts", ["train"])
