"""The commands that measure: what they print and write, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from shell import done, listing, refused, speak, vqaudio

from vqaudio.report import read_evaluation

for package in ("pystoi", "matplotlib", "jinja2"):
    pytest.importorskip(package, reason="needs vqaudio[eval]")

FEW = ("--metric", "stoi", "--metric", "mel_distance", "--device", "cpu")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for speaker in range(6):
        speak(tmp_path / f"speech/{speaker}/a.wav", speaker=speaker, seconds=1.2)
    return tmp_path


def test_evaluate_writes_a_report() -> None:
    asked = ("evaluate", "speech-16k", "speech", "--system", "original", *FEW, "--examples", "1")
    result = done(*asked)
    assert sorted(listing(Path("evaluation"))) == ["files.csv", "report.html", "report.json"]
    found = read_evaluation(Path("evaluation/report.json"))
    assert found.command == " ".join(("vqaudio", *asked))
    assert (found.num_files, found.num_speakers, len(found.systems)) == (6, 6, 5)
    page = Path("evaluation/report.html").read_text(encoding="utf-8")
    assert page.count("<audio") == 5
    assert any("STOI" in line for line in result.lines)
    assert result.lines[-1].startswith("evaluation/report.html: ")
    assert "evaluation/report.html exists" in refused(*asked)
    before = Path("evaluation/report.json").read_bytes()
    done(*asked, "--force")
    after = json.loads(Path("evaluation/report.json").read_bytes())
    assert after["data_hash"] == json.loads(before)["data_hash"]


def test_evaluate_the_model_alone_and_part_of_the_data() -> None:
    done(
        *("evaluate", "speech-16k", "speech", "--system", "none", "--metric", "mel_distance"),
        *("--files", "1", "--out", "out", "--examples", "0"),
    )
    found = read_evaluation(Path("out/report.json"))
    assert (found.num_files, len(found.systems)) == (1, 4)
    assert [metric.name for metric in found.metrics] == ["mel_distance"]


def test_compare_says_which_is_better() -> None:
    result = done("compare", "speech-16k@4000", "speech-16k@500", "speech", *FEW)
    assert result.lines[:2] == ["a: speech-16k@4000", "b: speech-16k@500"]
    assert sum("a is better" in line for line in result.lines) == 2
    result = done("compare", "speech-16k@4000", "speech-16k", "speech", *FEW, "--json")
    found = json.loads(result.out)
    assert [entry["verdict"] for entry in found["differences"]] == ["open", "open"]
    assert found["differences"][0]["difference"]["mean"] == 0
    assert found["skipped"] == []


def test_usage_counts_and_draws() -> None:
    result = done("usage", "speech-16k", "speech", "--out", "usage.svg")
    assert result.lines[0].startswith("speech-16k (")
    assert len(result.lines) == 2 + 8
    assert Path("usage.svg").read_text(encoding="utf-8").startswith("<?xml")
    assert "usage.svg exists" in refused("usage", "speech-16k", "speech", "--out", "usage.svg")
    facts = json.loads(done("usage", "speech-16k", "speech", "--json").out)
    assert [level["num_tokens"] for level in facts["levels"]] == [360] * 8
    assert facts["files"] == 6


def test_bad_input() -> None:
    assert "nowhere does not exist" in refused("evaluate", "speech-16k", "nowhere")
    assert "choose from" in refused("evaluate", "speech-16k", "speech", "--metric", "beauty")
    assert "no model" in refused("usage", "no-such-model", "speech")
    assert "suffix" in refused("usage", "speech-16k", "speech", "--out", "usage.pdf")
    assert not list(Path().glob("evaluation/*")), "nothing is left behind"
    assert vqaudio("compare", "speech-16k", "original").code == 2
    for path in Path("speech").rglob("*.wav"):
        path.write_bytes(b"RIFF")
    assert "sound that can be read" in refused("usage", "speech-16k", "speech")
