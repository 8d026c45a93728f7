"""Every format gives back what went in, to us and to the libraries that it is for."""

from __future__ import annotations

import io
import json
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from exports import SAMPLE_RATE, SHARD_HOURS, make_corpus, make_model, sound

from vqaudio import Tokenizer, Tokens, TokensError, VqaudioError, load
from vqaudio.export import (
    FORMATS,
    Header,
    Index,
    Order,
    Row,
    export,
    read_export,
    read_header,
    verify,
)
from vqaudio.patterns import PATTERNS, Vocabulary, restore

pytest.importorskip("pyarrow", reason="needs vqaudio[export]")

FORMS = [
    (format, pattern)
    for format in FORMATS
    for pattern in (None, *PATTERNS)
    if (format != "npz" or pattern is None)
    and (format != "megatron" or pattern in ("flatten", "coarse-first"))
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def tokenizer(model: Path) -> Tokenizer:
    return load(model, device="cpu")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def expected(corpus: Path, tokenizer: Tokenizer) -> dict[str, Tokens]:
    """Each recording as it is tokenized by itself, in the order of the listing."""
    names = (
        *("alone.wav", "anna/0.wav", "anna/1.wav", "anna/2.wav", "anna/3.wav", "bruno/a.b.wav"),
        *("bruno/stereo.flac", "çelik/0.wav", "çelik/1.wav", "çelik/2.wav"),
    )
    return {name: tokenizer.encode_file(corpus / name) for name in names}


def run(corpus: Path, model: Path, out: Path, format: str, pattern: str | None = None) -> Index:
    order = Order(
        data=str(corpus),
        out=str(out),
        model=str(model),
        format=format,
        pattern=pattern,
        shard_hours=SHARD_HOURS,
        device="cpu",
    )
    return export(order)


@pytest.mark.parametrize(("format", "pattern"), FORMS)
def test_what_is_read_is_what_each_file_gives_by_itself(
    format: str,
    pattern: str | None,
    corpus: Path,
    model: Path,
    expected: dict[str, Tokens],
    tmp_path: Path,
) -> None:
    index = run(corpus, model, tmp_path / "out", format, pattern)
    assert len(index.shards) == 4
    rows = list(read_export(tmp_path / "out"))
    assert {row.id: row.tokens for row in rows} == expected
    assert [row.id for row in rows] == list(expected)
    row = rows[1]
    assert (row.speaker, row.text, row.language) == ("anna", "grüß dich", None)
    assert rows[0].speaker is None
    assert len(row.sha256) == 64
    header = read_header(tmp_path / "out")
    assert header == index.plan.header
    assert header.facts()["pattern"] == pattern
    assert (header.facts().get("vocabulary") is None) == (pattern is None)
    by_shard: list[Row] = []
    for shard in index.shards:
        path = tmp_path / "out" / shard.files[0].name
        assert read_header(path) == header
        by_shard += read_export(path)
    assert by_shard == rows


@pytest.mark.parametrize("format", FORMATS)
def test_any_name_that_a_file_can_have(format: str, model: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    names = [
        *("new\nline.wav", "tab\t.wav", "\u2028.wav", "%41.wav", "A.wav", "__x__/y.wav", "x.wav"),
        *("x.wav.npz/y.wav", "back\\slash.wav", "#2.wav", f"{'L' * 251}.wav", f"{'ж' * 125}.wav"),
        *("\udcff.wav", "\\udcff.wav"),  # the first is no Unicode, and is written as the second
    ]
    for number, name in enumerate(names):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        wave = io.BytesIO()
        soundfile.write(wave, sound(0.1 + number / 50, number), SAMPLE_RATE, format="WAV")
        (data / name).write_bytes(wave.getvalue())
    pattern = "flatten" if format == "megatron" else None
    run(data, model, tmp_path / "out", format, pattern)
    rows = list(read_export(tmp_path / "out"))
    given = {name.encode("utf-8", "backslashreplace").decode() for name in names}
    assert {row.id for row in rows} == {*given, "\\udcff.wav#2"}
    assert len({row.tokens.num_samples for row in rows}) == len(rows) == len(names)
    assert verify(str(tmp_path / "out")).faults == ()


def test_parquet_for_datasets_and_pandas(
    corpus: Path, model: Path, expected: dict[str, Tokens], tmp_path: Path
) -> None:
    datasets = pytest.importorskip("datasets")
    run(corpus, model, tmp_path / "out", "parquet")
    found = datasets.load_dataset(
        "parquet",
        data_files=str(tmp_path / "out" / "*.parquet"),
        split="train",
        cache_dir=str(tmp_path / "cache"),
    )
    assert found["id"][:] == list(expected)
    assert found[3]["codes"] == expected["anna/2.wav"].codes.tolist()
    assert found.features["codes"].feature.feature.dtype == "uint16"
    for kind, dtype in (("numpy", "int64"), ("torch", "torch.int64")):
        codes = found.with_format(kind)[3]["codes"]
        assert (str(codes.dtype), list(codes.shape)) == (dtype, [3, 100])
    import pyarrow.parquet as pq

    schema = pq.read_schema(tmp_path / "out" / "shard-00000.parquet")
    assert json.loads(schema.metadata[b"vqaudio"])["codebook_sizes"] == [16, 16, 16]


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # it closes none of them
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_webdataset(corpus: Path, model: Path, expected: dict[str, Tokens], tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    run(corpus, model, tmp_path / "out", "webdataset", "flatten")
    shards = sorted(str(path) for path in (tmp_path / "out").glob("*.tar"))
    samples = list(webdataset.WebDataset(shards, shardshuffle=False).decode())
    assert [sample["json"]["id"] for sample in samples] == list(expected)
    for sample in samples:
        ids = sample["ids.npy"]
        assert ids.dtype == np.int32
        tokens = expected[sample["json"]["id"]]
        assert (restore(ids, (16, 16, 16), "flatten") == tokens.codes).all()


def test_json_lines_say_all_of_themselves(
    corpus: Path, model: Path, expected: dict[str, Tokens], tmp_path: Path
) -> None:
    run(corpus, model, tmp_path / "out", "jsonl", "delay")
    lines: list[dict[str, Any]] = [
        json.loads(line)
        for path in sorted((tmp_path / "out").glob("shard-*.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    assert [line["id"] for line in lines] == list(expected)
    for line in lines:
        assert line["vqaudio"]["pattern"] == "delay"
        codes = restore(line["ids"], line["vqaudio"]["codebook_sizes"], "delay")
        assert (codes == expected[line["id"]].codes).all()
    shuffled = tmp_path / "shuffled.jsonl"
    shuffled.write_text("".join(json.dumps(line) + "\n" for line in reversed(lines)))
    assert [row.id for row in read_export(shuffled)] == list(reversed(expected))


def test_npz_files_are_token_files(
    corpus: Path, model: Path, expected: dict[str, Tokens], tmp_path: Path
) -> None:
    run(corpus, model, tmp_path / "out", "npz")
    found = {
        path.relative_to(tmp_path / "out").as_posix(): Tokens.load(path)
        for path in (tmp_path / "out").rglob("*.npz")
    }
    assert found == {f"{name}.npz": tokens for name, tokens in expected.items()}
    with np.load(tmp_path / "out/bruno/a.b.wav.npz") as arrays:
        assert arrays["codes"].dtype == np.uint16


def read_megatron(prefix: Path) -> list[np.ndarray]:
    """As `_IndexReader` of megatron/core/datasets/indexed_dataset.py reads; none of vqaudio."""
    index = io.BytesIO(prefix.with_suffix(".idx").read_bytes())
    assert index.read(9) == b"MMIDIDX\x00\x00"
    version, code, sequences, documents = struct.unpack("<QBQQ", index.read(25))
    assert version == 1
    dtype = {1: np.uint8, 4: np.int32, 8: np.uint16}[code]
    lengths = np.frombuffer(index.read(4 * sequences), np.int32)
    pointers = np.frombuffer(index.read(8 * sequences), np.int64)
    bounds = np.frombuffer(index.read(8 * documents), np.int64)
    assert index.read() == b""
    assert bounds.tolist() == list(range(sequences + 1))
    data = prefix.with_suffix(".bin").read_bytes()
    assert len(data) == lengths.sum() * np.dtype(dtype).itemsize
    return [
        np.frombuffer(data, dtype, length, pointer)
        for length, pointer in zip(lengths, pointers, strict=True)
    ]


def test_megatron(corpus: Path, model: Path, expected: dict[str, Tokens], tmp_path: Path) -> None:
    index = run(corpus, model, tmp_path / "out", "megatron", "coarse-first")
    documents = [
        document
        for shard in index.shards
        for document in read_megatron(tmp_path / "out" / shard.shard)
    ]
    vocabulary = Vocabulary((16, 16, 16))
    for document, tokens in zip(documents, expected.values(), strict=True):
        assert document.dtype == np.uint16
        assert (document[0], document[-1]) == (vocabulary.begin, vocabulary.end)
        assert (restore(document, (16, 16, 16), "coarse-first") == tokens.codes).all()


def test_megatron_of_many_ids(tmp_path: Path) -> None:
    sizes = (40_000, 40_000)
    header = Header("model", 16_000, 320, sizes, "flatten")
    codes = np.array([[0, 39_999], [1, 39_998]], np.uint16)
    tokens = Tokens(
        codes, num_samples=640, sample_rate=16_000, hop_length=320, codebook_sizes=sizes, model="m"
    )
    FORMATS["megatron"].write(tmp_path / "a.idx", header, [Row("a", tokens, "a", "")] * 2)
    first, second = read_megatron(tmp_path / "a")
    assert first.dtype == np.int32
    assert first.tolist() == second.tolist() == [1, 5, 40_006, 40_004, 80_003, 2]


def test_formats_refuse_what_they_cannot_hold(corpus: Path, model: Path, tmp_path: Path) -> None:
    with pytest.raises(VqaudioError, match="give --pattern flatten or coarse-first"):
        run(corpus, model, tmp_path / "out", "megatron")
    with pytest.raises(VqaudioError, match="npz keeps plain codes"):
        run(corpus, model, tmp_path / "out", "npz", "flatten")
    with pytest.raises(VqaudioError, match="no format 'flac': choose from parquet"):
        run(corpus, model, tmp_path / "out", "flac")
    with pytest.raises(TokensError, match="no pattern 'spiral'"):
        run(corpus, model, tmp_path / "out", "parquet", "spiral")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("format", FORMATS)
def test_damaged_shards_are_a_sentence(
    format: str, corpus: Path, model: Path, tmp_path: Path
) -> None:
    pattern = "flatten" if format == "megatron" else None
    index = run(corpus, model, tmp_path / "out", format, pattern)
    name = index.shards[0].files[0].name
    path = tmp_path / "out" / name
    (tmp_path / "out" / "shard-00000.json").unlink()
    content = path.read_bytes()
    random = np.random.default_rng(0)
    for cut in (0, 1, 10, len(content) // 3):
        path.write_bytes(content[:cut])
        with pytest.raises(TokensError, match="shard-00000"):
            list(read_export(path))
    for place in random.integers(0, len(content), 30):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(random.integers(8))
        path.write_bytes(damaged)
        with suppress(TokensError):  # and nothing else; a text may well be another
            list(read_export(path))
