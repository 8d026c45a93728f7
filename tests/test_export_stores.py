"""Exports from and to stores of fsspec, and the commands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile
from exports import SAMPLE_RATE, SHARD_HOURS, make_corpus, make_model, sound, whole
from shell import done, refused, vqaudio

from vqaudio import CorpusError, VqaudioError
from vqaudio.export import (
    FORMATS,
    Index,
    Order,
    export,
    is_export,
    read_export,
    read_header,
    verify,
)

fsspec = pytest.importorskip("fsspec", reason="needs vqaudio[export]")
pytest.importorskip("pyarrow", reason="needs vqaudio[export]")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture
def store(corpus: Path) -> Iterator[str]:
    """An address with the corpus below it, in the memory of this process."""
    files = fsspec.filesystem("memory")
    files.put(str(corpus), "/bucket/corpus", recursive=True)
    files.pipe("/bucket/corpus/.hidden/no.wav", b"")
    yield "memory://bucket"
    files.rm("/bucket", recursive=True)


def run(data: object, out: object, model: Path, format: str = "parquet", **other: str) -> Index:
    pattern = "flatten" if format == "megatron" else None
    order = Order(str(data), str(out), str(model), format, pattern, shard_hours=SHARD_HOURS)
    return export(order._replace(device="cpu"), **other)


def files_of(address: str) -> dict[str, bytes]:
    files, root = fsspec.core.url_to_fs(address)
    return {path.removeprefix(f"{root}/"): files.cat_file(path) for path in files.find(root)}


@pytest.mark.parametrize("format", FORMATS)
def test_a_store_gets_and_gives_the_same_bytes(
    format: str, store: str, corpus: Path, model: Path, tmp_path: Path
) -> None:
    index = run(corpus, tmp_path / "out", model, format)
    here = whole(tmp_path / "out")
    assert run(f"{store}/corpus", f"{store}/out", model, format).rows == index.rows
    rows = list(read_export(f"{store}/out"))
    assert rows == list(read_export(tmp_path / "out"))
    there = files_of(f"{store}/out")
    shards = {name for name in here if name.startswith("shard") and not name.endswith(".json")}
    assert {name: there[name] for name in shards} == {name: here[name] for name in shards}
    assert is_export(f"{store}/out")
    assert read_header(f"{store}/out") == index.plan.header
    shard = f"{store}/out/{index.shards[0].files[0].name}"
    assert read_header(shard) == index.plan.header
    assert list(read_export(shard)) == rows[: index.shards[0].rows]
    assert verify(f"{store}/out").faults == ()


def test_what_was_stopped_goes_on(store: str, model: Path) -> None:
    out = f"{store}/out"
    index = run(f"{store}/corpus", out, model)
    before = files_of(out)
    files = fsspec.filesystem("memory")
    files.rm("/bucket/out/shard-00001.json")
    files.pipe("/bucket/out/shard-00002.parquet", b"PAR1")
    assert len(verify(out).faults) == 2
    assert run(f"{store}/corpus", out, model) == index
    assert files_of(out) == before
    with pytest.raises(VqaudioError, match="holds another export"):
        run(f"{store}/corpus/anna", out, model)
    export_again = run(f"{store}/corpus/anna", out, model, force=True)  # type: ignore[arg-type]
    assert export_again.rows == 4
    assert verify(out).faults == ()


def test_manifests_that_lie_or_point_there(store: str, corpus: Path, model: Path, tmp_path: Path):
    lines = [
        {"audio_filepath": "corpus/anna/0.wav", "text": "one", "speaker": "anna"},
        {"audio_filepath": f"{store}/corpus/anna/2.wav", "offset": 0.5, "duration": 1.0},
        {"audio_filepath": str(corpus / "alone.wav"), "lang": "de"},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines).encode()
    fsspec.filesystem("memory").pipe("/bucket/list.jsonl", text)
    run(f"{store}/list.jsonl", tmp_path / "out", model)
    rows = list(read_export(tmp_path / "out"))
    assert [row.id for row in rows] == [
        *("corpus/anna/0.wav", "corpus/anna/2.wav@0.5", str(corpus / "alone.wav")),
    ]
    assert [(row.text, row.speaker, row.language) for row in rows] == [
        *(("one", "anna", None), (None, None, None), (None, None, "de")),
    ]
    assert rows[1].tokens.num_samples == SAMPLE_RATE
    (tmp_path / "here.txt").write_text(f"{store}/corpus/anna/0.wav\n{corpus}/alone.wav\n")
    run(tmp_path / "here.txt", tmp_path / "out2", model)
    assert [row.tokens for row in read_export(tmp_path / "out2")] == [
        *(rows[0].tokens, rows[2].tokens),
    ]


def test_what_a_store_lacks(store: str, model: Path, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="holds no sound file"):
        run(f"{store}/nowhere", tmp_path / "out", model)
    with pytest.raises(VqaudioError, match="cannot read"):
        run(f"{store}/nowhere.jsonl", tmp_path / "out", model)
    with pytest.raises(VqaudioError, match="cannot use nonsense://x"):
        run("nonsense://x", tmp_path / "out", model)
    fsspec.filesystem("memory").pipe("/bucket/list.txt", b"missing.wav\n")
    line = {"audio_filepath": f"{store}/corpus/alone.wav", "duration": float("nan")}
    fsspec.filesystem("memory").pipe("/bucket/nan.jsonl", json.dumps(line).encode())
    with pytest.raises(CorpusError, match=r"/nan.jsonl, line 1: from 0 s on nan s are no part"):
        run(f"{store}/nan.jsonl", tmp_path / "out", model)
    with pytest.raises(CorpusError, match=r"list\.txt: cannot read .*missing\.wav"):
        run(f"{store}/list.txt", tmp_path / "out", model)


@pytest.fixture
def here(tmp_path: Path, corpus: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus").symlink_to(corpus)
    (tmp_path / "model.safetensors").symlink_to(model)
    return tmp_path


@pytest.mark.parametrize("format", ["parquet", "megatron", "npz"])
def test_the_commands(format: str, here: Path) -> None:
    pattern = ("--pattern", "flatten") if format == "megatron" else ()
    asked = ("export", "corpus", "out", "--model", "model.safetensors", "--device", "cpu")
    asked = (*asked, "--format", format, *pattern, "--shard-hours", SHARD_HOURS)
    result = vqaudio(*asked)
    assert result.code == 0
    assert result.lines == [f"out: 10 recordings, 0.00 hours in 4 shards of {format}"]
    assert "2 recordings cannot be read and are listed in out/unreadable.jsonl" in result.err
    assert "4 shards, 10 recordings" in done("verify", "out").lines[0]
    done("detokenize", "out", "--out", "sound", "--model", "model.safetensors")
    done("reconstruct", "corpus/bruno/stereo.flac", "direct.wav", "--model", "model.safetensors")
    assert (here / "sound/bruno/stereo.wav").read_bytes() == (here / "direct.wav").read_bytes()
    assert soundfile.info(here / "sound/anna/3.wav").frames == 2
    words = refused("detokenize", "out", "--model", "model.safetensors")
    assert "give a folder with --out" in words
    shard = next((here / "out").glob("shard-00001.[!j]*"), here / "out" / "shard-00001.jsonl")
    done("detokenize", shard, "--out", "some", "--model", "model.safetensors")
    assert len(list((here / "some").rglob("*.wav"))) == 2
    other = refused(*asked[:-1], "1")
    assert "holds another export" in other
    shard.write_bytes(b"")
    result = vqaudio("verify", "out", "--json")
    assert result.code == 1
    assert len(json.loads(result.out)["faults"]) == 1
    assert result.err.startswith("vqaudio: shard-00001: ")


def test_the_bar(here: Path) -> None:
    soundfile.write(here / "a.wav", sound(1.0, 1), SAMPLE_RATE)
    (here / "list.txt").write_text("a.wav\n")
    asked = ("export", "list.txt", "out", "--model", "model.safetensors")
    result = vqaudio(*asked, terminal=("stderr",))
    assert "s of sound" in result.err
    assert "out exists" not in result.err
