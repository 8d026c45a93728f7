"""Compressed tokens on the command line: --format vqa, --coder, count, describe."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from shell import done, listing, refused, speak, vqaudio

from vqaudio import Tokens
from vqaudio.checkpoint import BUNDLED
from vqaudio.entropy import Frequencies, Static, bundled_frequencies
from vqaudio.tokens.vqa import header_size

EXAMPLE = BUNDLED / "example.npz"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that a test works in; in.wav is 1 s of speech."""
    monkeypatch.chdir(tmp_path)
    speak(tmp_path / "in.wav", seconds=1.0)
    return tmp_path


def bundled() -> Frequencies:
    table = bundled_frequencies(model=Tokens.load(EXAMPLE).model)
    assert table is not None
    return table


def own_table(path: str) -> Frequencies:
    """Another table than the one in the box."""
    table = Frequencies(tuple(level // 2 for level in bundled().counts), bundled().model)
    table.save(path)
    return table


def test_vqa_packs(here: Path) -> None:
    line = done("tokenize", "in.wav", "--format", "vqa").out.decode()
    done("tokenize", "in.wav", "--out", "plain.npz")
    assert Tokens.load("in.vqa") == Tokens.load("plain.npz")
    size = (here / "in.vqa").stat().st_size
    assert size == header_size(8) + 8 * 50 * 10 // 8
    assert line == (
        "in.wav -> in.vqa: 8 x 50 codes, 1.00 s, 4000 bit/s, 4000 bit/s of payload, "
        f"{8 * size} bit/s of file\n"
    )
    done("detokenize", "in.vqa", "--out", "a.wav")
    done("detokenize", "plain.npz", "--out", "b.wav")
    assert (here / "a.wav").read_bytes() == (here / "b.wav").read_bytes()


def test_the_table_in_the_box_is_used_when_asked_for_and_found_without(here: Path) -> None:
    line = done("tokenize", "in.wav", "--out", "a.vqa", "--coder", "static").out.decode()
    tokens = Tokens.load("a.vqa")
    assert (here / "a.vqa").read_bytes() == tokens.to_bytes(".vqa", coder=Static(bundled()))
    size = (here / "a.vqa").stat().st_size
    payload = size - header_size(8)
    assert line.endswith(f" 4000 bit/s, {8 * payload} bit/s of payload, {8 * size} bit/s of file\n")
    done("detokenize", "a.vqa")
    assert (here / "a.wav").exists()


def test_through_pipes(here: Path) -> None:
    table = own_table("mine.npz")
    for options in ((), ("--coder", "static"), ("--coder", "mine.npz")):
        sound = (here / "in.wav").read_bytes()
        result = done("tokenize", "-", "--format", "vqa", *options, stdin=sound)
        assert "bit/s of payload" in result.err
        assert Tokens.from_bytes(result.out, "pipe", coder=Static(table)).num_samples == 16000
        back = done("detokenize", "-", *options[-2:], stdin=result.out)
        assert back.out.startswith(b"RIFF")
    assert sorted(listing(here)) == ["in.wav", "mine.npz"]


def test_a_table_of_ones_own_must_be_given_again(here: Path) -> None:
    table = own_table("mine.npz")
    done("tokenize", "in.wav", "--format", "vqa", "--coder", "mine.npz")
    needed = rf"coded by the static coder {table.fingerprint}"
    sentence = refused("detokenize", "in.vqa", "--out", "a.wav")
    assert re.search(rf"in\.vqa cannot be used: .*{needed}: give .* with --coder FILE", sentence)
    sentence = refused("detokenize", "in.vqa", "--out", "a.wav", "--coder", "static")
    assert f"{table.fingerprint}, not by the static coder {bundled().fingerprint}" in sentence
    done("detokenize", "in.vqa", "--out", "a.wav", "--coder", "mine.npz")


@pytest.mark.parametrize("out", [(), ("--format", "json"), ("--out", "a.npz"), ("--out", "-")])
def test_a_coder_for_another_format_is_wrong_usage(here: Path, out: tuple[str, ...]) -> None:
    result = vqaudio("tokenize", "in.wav", "--coder", "static", *out)
    assert result.code == 2
    assert "--coder compresses .vqa files: add --format vqa" in " ".join(result.err.split())
    assert sorted(listing(here)) == ["in.wav"]


def test_what_is_no_coder_is_refused(here: Path) -> None:
    for name, words in (("none.npz", "cannot read a table"), (EXAMPLE, "is no table")):
        assert words in refused("tokenize", "in.wav", "--format", "vqa", "--coder", name)
    assert sorted(listing(here)) == ["in.wav"]


def test_a_model_without_a_table_in_the_box(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vqaudio.entropy.bundled.FOLDER", here)
    sentence = refused("tokenize", "in.wav", "--format", "vqa", "--coder", "static")
    assert f"there is no table in the box for model {Tokens.load(EXAMPLE).model}" in sentence


# Count


def test_count_recordings_or_their_tokens(here: Path) -> None:
    for name in ("a", "b"):
        speak(here / "set" / f"{name}.wav", speaker=ord(name))
    line = done("count", "set", "from-sound.npz").out.decode()
    table = Frequencies.load("from-sound.npz")
    assert line == (
        f"set -> from-sound.npz: {2 * 25 * 8} codes of model {table.model}, table "
        f"{table.fingerprint}\n"
    )
    done("tokenize", "set", "--out", "tokens")
    done("tokenize", "set", "--out", "packed", "--format", "vqa")
    for folder in ("tokens", "packed"):
        done("count", folder, "from-tokens.npz", "--force")
        assert Frequencies.load("from-tokens.npz").fingerprint == table.fingerprint
    done("tokenize", "set", "--format", "vqa", "--coder", "from-sound.npz", "--out", "coded")
    assert Tokens.load("coded/a.vqa", coder=Static(table)) == Tokens.load("tokens/a.npz")


def test_count_refuses(here: Path) -> None:
    tokens = Tokens.load(EXAMPLE)
    (here / "tokens").mkdir()
    (here / "empty").mkdir()
    tokens.save("tokens/a.npz")
    tokens.first(2).save("tokens/b.npz")
    assert "b.npz has 2 levels of model" in refused("count", "tokens", "t.npz")
    assert "empty holds no token file" in refused("count", "empty", "t.npz")
    assert "missing does not exist" in refused("count", "missing", "t.npz")
    (here / "old.npz").write_bytes(b"precious")
    assert "old.npz exists" in refused("count", "tokens", "old.npz")
    for arguments in (("tokens", "t.txt"), ("tokens", "t.npz", "--model", "speech-16k")):
        assert vqaudio("count", *arguments).code == 2
    assert not (here / "t.npz").exists()


# Describe


def test_describe_says_what_is_on_the_disk(here: Path) -> None:
    done("tokenize", "in.wav", "--format", "vqa")
    facts = json.loads(done("describe", "in.vqa", "--json").out)
    size = (here / "in.vqa").stat().st_size
    assert (
        facts.items()
        >= {
            "num_frames": 50,
            "num_samples": 16000,
            "bitrate": 4000,
            "coder": "packed",
            "payload_bitrate": 4000,
            "file_bitrate": 8 * size,
        }.items()
    )
    assert "coder_fingerprint" not in facts
    assert "payload bitrate  4000 bit/s" in done("describe", "in.vqa").lines
    done("tokenize", "in.wav", "--out", "in.npz")
    plain = json.loads(done("describe", "in.npz", "--json").out)
    assert {name: facts[name] for name in plain} == plain


def test_describe_needs_no_coder(here: Path) -> None:
    table = own_table("mine.npz")
    done("tokenize", "in.wav", "--format", "vqa", "--coder", "mine.npz")
    (here / "mine.npz").unlink()
    facts = json.loads(done("describe", "in.vqa", "--json").out)
    assert (facts["coder"], facts["coder_fingerprint"]) == ("static", table.fingerprint)


def test_describe_refuses_a_damaged_file(here: Path) -> None:
    done("tokenize", "in.wav", "--format", "vqa")
    data = (here / "in.vqa").read_bytes()
    (here / "in.vqa").write_bytes(data[:-1])
    assert "in.vqa cannot be used: its codes are damaged" in refused("describe", "in.vqa")
    assert "cannot read tokens from none.vqa" in refused("describe", "none.vqa")
