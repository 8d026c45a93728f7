"""The list of unreadable files in a run folder: each once, whatever happens to the run."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from vqaudio.data import Fault, record_faults
from vqaudio.data.faults import Faults
from vqaudio.errors import AudioError, VqaudioError


def listed(run: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (run / "unreadable.jsonl").read_text().splitlines()]


def test_each_file_is_listed_once_also_after_a_resume(tmp_path: Path) -> None:
    assert record_faults(tmp_path, ()) == 0
    assert not (tmp_path / "unreadable.jsonl").exists()
    one, two = Fault("a.wav", "a.wav is empty"), Fault("b.wav", "b.wav is no audio")
    assert record_faults(tmp_path, [one]) == 1
    assert record_faults(tmp_path, [one, two, two]) == 1
    assert record_faults(tmp_path, [Fault("a.wav", "another reason")]) == 0
    assert listed(tmp_path) == [one._asdict(), two._asdict()]


def test_a_torn_line_is_ended(tmp_path: Path) -> None:
    (tmp_path / "unreadable.jsonl").write_text('{"path": "a.wav", "rea')
    assert record_faults(tmp_path, [Fault("a.wav", "gone")]) == 1
    assert record_faults(tmp_path, [Fault("a.wav", "gone")]) == 0
    lines = (tmp_path / "unreadable.jsonl").read_text().splitlines()
    assert lines == ['{"path": "a.wav", "rea', '{"path": "a.wav", "reason": "gone"}']


def test_a_name_that_is_no_text_is_listed_too(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.wav")
    assert record_faults(tmp_path, [Fault(name, f"{name} is empty")]) == 1
    assert record_faults(tmp_path, [Fault(name, f"{name} is empty")]) == 0
    assert listed(tmp_path)[0]["path"] == name


def test_a_list_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(VqaudioError, match=r"cannot write .*missing/unreadable\.jsonl: No such"):
        record_faults(tmp_path / "missing", [Fault("a.wav", "gone")])


def test_faults_are_handed_over_once() -> None:
    faults = Faults()
    for reason in ("first", "second"):
        faults.note(Path("a.wav"), AudioError(reason))
    assert Path("a.wav") in faults
    assert Path("b.wav") not in faults
    assert faults.take() == (Fault("a.wav", "first"),)
    assert faults.take() == ()
    faults.note(Path("a.wav"), AudioError("third"))
    assert faults.take() == ()
