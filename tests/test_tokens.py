"""Token files: what was saved is what is loaded, and no bytes whatever do harm."""

from __future__ import annotations

import dataclasses
import errno
import io
import json
import os
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vqaudio import Tokens, TokensError, VqaudioError
from vqaudio.tokens import FORMATS, Source

relaxed = settings(max_examples=150, deadline=None)


def tokens_of(length: int = 1000, /, sizes: tuple[int, ...] = (16, 1024), **changes: Any) -> Tokens:
    """Random codes, 100 samples to a frame."""
    random = np.random.default_rng(length)
    shape = (len(sizes), -(-length // 100))
    codes = (random.random(shape) * np.array(sizes)[:, None]).astype(np.uint16)
    parts = {
        "codes": codes,
        "num_samples": length,
        "sample_rate": 16000,
        "hop_length": 100,
        "codebook_sizes": sizes,
        "model": "0123456789abcdef",
    }
    return Tokens(**{**parts, **changes})


@st.composite
def any_tokens(draw: st.DrawFn) -> Tokens:
    hop, num_samples = draw(st.integers(1, 400)), draw(st.integers(1, 4000))
    sizes = draw(st.lists(st.sampled_from((1, 2, 255, 256, 1000, 65536)), min_size=1, max_size=9))
    frames = -(-num_samples // hop)
    random = np.random.default_rng(draw(st.integers(0, 99)))
    codes = np.stack([random.integers(0, size, frames) for size in sizes])
    codes[:, 0] = np.array(sizes) - 1  # the largest code of all is among them
    rate, source_rate = draw(st.integers(1000, 96000)), draw(st.integers(1000, 96000))
    length = num_samples * source_rate // rate
    fits = length > 0 and -(-length * rate // source_rate) == num_samples
    source = Source(source_rate, length, draw(st.integers(1, 8))) if fits else None
    return Tokens(codes, num_samples, rate, hop, tuple(sizes), draw(st.text()), source)


# What was saved is what is loaded


@relaxed
@given(tokens=any_tokens(), suffix=st.sampled_from(sorted(FORMATS)))
def test_bytes_and_back(tokens: Tokens, suffix: str) -> None:
    if suffix in (".vqa", ".vqs"):  # the others have room for any text
        tokens = dataclasses.replace(tokens, model="0123456789abcdef")
    data = tokens.to_bytes(suffix)
    back = Tokens.from_bytes(data, "tokens")
    assert back == tokens
    assert back.codes.dtype == np.uint16
    assert isinstance(back.source, Source | None)
    assert back.to_bytes(suffix) == data


@pytest.mark.parametrize(
    "name", ["a.npz", "a.json", "a.vqa", "a.vqs", "A.JSON", "new/folder/a.b.npz"]
)
def test_save_and_load(tmp_path: Path, name: str) -> None:
    tokens = tokens_of(source=Source(8000, 500, 2))
    tokens.save(tmp_path / name)
    assert Tokens.load(tmp_path / name) == tokens
    assert Tokens.load(str(tmp_path / name)) == tokens
    assert os.listdir((tmp_path / name).parent) == [Path(name).name]


@pytest.mark.parametrize("suffix", sorted(FORMATS))
def test_the_same_tokens_are_the_same_bytes(suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tokens_of().to_bytes(suffix)
    monkeypatch.setattr("time.time", lambda: 2e9)
    assert tokens_of().to_bytes(suffix) == before


def test_json_is_plain_and_tells_all() -> None:
    tokens = tokens_of(150, sizes=(4, 2), source=Source(8000, 75))
    assert json.loads(tokens.to_bytes(".json")) == {
        "format_version": 1,
        "model": "0123456789abcdef",
        "sample_rate": 16000,
        "hop_length": 100,
        "frame_rate": 160.0,
        "num_samples": 150,
        "codebook_sizes": [4, 2],
        "source": [8000, 75, 1],
        "codes": tokens.codes.tolist(),
    }


def test_npz_is_read_by_numpy_alone() -> None:
    tokens = tokens_of()
    with np.load(io.BytesIO(tokens.to_bytes(".npz")), allow_pickle=False) as arrays:
        assert np.array_equal(arrays["codes"], tokens.codes)
        assert arrays["codes"].dtype == np.uint16
        assert json.loads(str(arrays["header"]))["num_samples"] == 1000


def test_the_content_and_not_the_suffix_says_which_format(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(tokens_of().to_bytes(".npz"))
    assert Tokens.load(tmp_path / "a.json") == tokens_of()


@pytest.mark.parametrize("suffix", sorted(FORMATS))
def test_numpy_numbers_are_saved_as_plain_ones(suffix: str) -> None:
    tokens = tokens_of(
        num_samples=np.int64(1000),
        sample_rate=np.int32(16000),
        codebook_sizes=[np.int64(16), np.int64(1024)],
        source=(np.int64(8000), np.int64(500), np.int16(1)),
    )
    assert tokens == tokens_of(source=Source(8000, 500))
    assert Tokens.from_bytes(tokens.to_bytes(suffix), "tokens") == tokens


# What tokens say


def test_rates_and_lengths() -> None:
    tokens = tokens_of(1001, sizes=(16, 1024))
    assert (tokens.num_codebooks, tokens.num_frames) == (2, 11)
    assert tokens.frame_rate == 160
    assert tokens.bitrate == 160 * (4 + 10)
    assert tokens.seconds == 1001 / 16000


def test_the_repr_tells_what_it_is() -> None:
    assert repr(tokens_of(32000)) == (
        "Tokens(2 x 320 codes, 2.00 s at 16000 Hz, 2240 bit/s, model 0123456789abcdef)"
    )


def test_equality_sees_every_part() -> None:
    tokens = tokens_of()
    assert tokens == tokens_of()
    assert tokens != tokens_of(codes=tokens.codes ^ 1)
    assert tokens != tokens_of(codes=tokens.codes[:, :5], hop_length=200)
    assert tokens != tokens_of(999)
    assert tokens != tokens_of(sample_rate=8000)
    assert tokens != tokens_of(codebook_sizes=(16, 1025))
    assert tokens != tokens_of(model="another")
    assert tokens != tokens_of(source=Source(8000, 500))
    assert tokens != "tokens"
    with pytest.raises(TypeError, match="unhashable"):
        hash(tokens)


def test_tokens_cannot_be_reassigned() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        tokens_of().num_samples = 5  # type: ignore[misc]


def test_first_codebooks() -> None:
    tokens = tokens_of(sizes=(16, 1024, 8), source=Source(8000, 500))
    first = tokens.first(2)
    assert np.array_equal(first.codes, tokens.codes[:2])
    assert first.codebook_sizes == (16, 1024)
    assert (first.num_samples, first.source) == (1000, tokens.source)
    assert tokens.first(3) == tokens
    for count in (0, -1, 4):
        with pytest.raises(TokensError, match=rf"{count} codebooks asked for.* have 3"):
            tokens.first(count)


# Parts that do not fit each other


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"codes": np.zeros(10, int)}, r"shape \[Q, T\], not int64 of \[10\]"),
        ({"codes": np.zeros((1, 2, 10), int)}, r"shape \[Q, T\]"),
        ({"codes": np.zeros((2, 10))}, "not float64"),
        ({"codes": np.zeros((2, 10), bool)}, "not bool"),
        ({"codes": np.zeros((2, 10), object)}, "not object"),
        ({"codes": np.zeros((3, 10), int)}, "3 rows of codes do not fit 2 codebook sizes"),
        ({"codes": np.zeros((0, 10), int), "codebook_sizes": ()}, "0 rows"),
        ({"codes": np.full((2, 10), 16)}, "codes from 16 to 16 do not fit a codebook of 16"),
        ({"codes": np.full((2, 10), -1)}, "codes from -1 to -1"),
        ({"codes": np.zeros((2, 9), int)}, "make 10 frames, but there are 9"),
        ({"codes": np.zeros((2, 11), int)}, "make 10 frames, but there are 11"),
        ({"codes": np.zeros((2, 0), int)}, "make 10 frames, but there are 0"),
        ({"num_samples": 900}, "make 9 frames, but there are 10"),
        ({"num_samples": 1001}, "make 11 frames, but there are 10"),
        ({"num_samples": 0}, "num samples of 0 is out of range"),
        ({"num_samples": 1000.0}, "must be a whole number"),
        ({"sample_rate": -1}, "sample rate of -1"),
        ({"sample_rate": 2**63}, "sample rate of 9223372036854775808 is out of range"),
        ({"sample_rate": True}, "True is no sample rate"),
        ({"hop_length": 0}, "hop length of 0"),
        ({"codebook_sizes": (16, 0)}, "codebook size of 0"),
        ({"codebook_sizes": (16, 65537)}, "a codebook of 65537"),
        ({"codebook_sizes": (16, None)}, "None is no codebook size"),
        ({"model": None}, "None is no fingerprint"),
        ({"source": Source(0, 500)}, "sample rate of 0"),
        ({"source": Source(8000, -500)}, "num samples of -500"),
        ({"source": Source(8000, 500, 0)}, "num channels of 0"),
        ({"source": Source(8000, 501)}, "501 samples at 8000 Hz do not last as long as 1000 at"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(TokensError, match=words):
        tokens_of(**changes)


# Files that are damaged, or something else


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing.npz", "cannot read tokens from .*missing.npz: No such file"),
        ("folder.npz", "cannot read tokens from .*folder.npz: Is a directory"),
        ("empty.npz", "empty.npz is no token file of vqaudio, or a damaged one"),
        ("empty.json", "empty.json is no token file of vqaudio, or a damaged one"),
        ("noise.npz", "noise.npz is no token file of vqaudio, or a damaged one"),
        ("a.txt", r"a.txt is no name for a token file: its suffix must be .npz or .json or .vqa"),
        ("a", "a is no name for a token file"),
    ],
)
def test_what_cannot_be_loaded_is_one_sentence(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "empty.npz").touch()
    (tmp_path / "empty.json").touch()
    (tmp_path / "noise.npz").write_bytes(b"PK\3\4" + bytes(range(256)))
    with pytest.raises(TokensError, match=words) as caught:
        Tokens.load(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.txt", "a", "a.npz.gz"])
def test_an_unknown_suffix_is_not_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(TokensError, match=r"suffix must be \.npz or \.json or \.vqa"):
        tokens_of().save(tmp_path / name)
    with pytest.raises(TokensError, match=r"suffix must be \.npz or \.json or \.vqa"):
        tokens_of().to_bytes(Path(name).suffix)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("suffix", sorted(FORMATS))
def test_every_truncation_is_noticed(suffix: str) -> None:
    data = tokens_of(20_000).to_bytes(suffix)
    lengths = {*range(0, len(data) - 1, 20), len(data) - 2}  # json ends with a line feed
    for length in lengths:
        with pytest.raises(TokensError):
            Tokens.from_bytes(data[:length], "tokens")


SOUND = tokens_of(3000, source=Source(8000, 1500))
NPZ, JSON = SOUND.to_bytes(".npz"), SOUND.to_bytes(".json")


@relaxed
@given(data=st.data())
def test_a_mutated_npz_is_the_same_or_refused(data: st.DataObject) -> None:
    damaged = bytearray(NPZ)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(NPZ) - 1))
        damaged[place] = data.draw(st.integers(0, 255))
    tokens = load_or_none(bytes(damaged))
    assert tokens is None or tokens == SOUND


@relaxed
@given(data=st.data())
def test_a_mutated_json_is_whole_or_refused(data: st.DataObject) -> None:
    # Without a checksum: another digit is another code. What comes out is sound in itself.
    start = data.draw(st.integers(0, len(JSON) - 1))
    end = data.draw(st.integers(start, min(start + 20, len(JSON))))
    damaged = JSON[:start] + data.draw(st.binary(max_size=20)) + JSON[end:]
    tokens = load_or_none(damaged)
    assert tokens is None or Tokens.from_bytes(tokens.to_bytes(".json"), "tokens") == tokens


@relaxed
@given(data=st.binary(max_size=300), magic=st.sampled_from([b"", b"PK\3\4", b"{", b"\x93NUMPY"]))
def test_any_bytes_are_refused(data: bytes, magic: bytes) -> None:
    assert load_or_none(magic + data) is None


def load_or_none(data: bytes) -> Tokens | None:
    """Nothing but a TokensError may come out of `from_bytes`."""
    try:
        return Tokens.from_bytes(data, "tokens")
    except TokensError:
        return None


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([[[1]], [1, 2], 65536, {}, []]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@relaxed
@given(
    key=st.sampled_from([*json.loads(JSON), "codes", "nonsense"]),
    value=anything,
)
@example(key="num_samples", value=float("nan"))
@example(key="codes", value=[[0.0] * 30, [0.0] * 30])
@example(key="codes", value=[["0"] * 30, ["0"] * 30])
@example(key="codes", value=[[-1] * 30, [0] * 30])
@example(key="codes", value=[[0] * 30, [0] * 29])
@example(key="codes", value=[[[0]] * 30, [[0]] * 30])
@example(key="codes", value=[[65536] * 30, [0] * 30])
@example(key="codes", value={"a": [0] * 30, "b": [0] * 30})
@example(key="source", value=[8000, 1500, 1, 1])
@example(key="source", value=[8000])
@example(key="codebook_sizes", value="ab")
@example(key="format_version", value=2)
def test_any_value_in_the_header_is_right_or_refused(key: str, value: Any) -> None:
    tokens = load_or_none(json.dumps({**json.loads(JSON), key: value}).encode())
    untouched = {"nonsense", "frame_rate"}  # unknown, and derived
    if tokens is not None and key not in {*untouched, "model", "sample_rate", "source"}:
        assert tokens == SOUND
    assert tokens is not None or key not in untouched


@pytest.mark.parametrize("key", sorted({*json.loads(JSON)} - {"frame_rate"}))
def test_every_key_is_needed(key: str) -> None:
    values = json.loads(JSON)
    del values[key]
    with pytest.raises(TokensError):
        Tokens.from_bytes(json.dumps(values).encode(), "tokens")


def test_another_format_version_is_named() -> None:
    data = json.dumps({**json.loads(JSON), "format_version": 2}).encode()
    with pytest.raises(TokensError, match=r"a\.json cannot be used: token format 2 came, 1 is"):
        Tokens.from_bytes(data, "a.json")


def test_deep_nesting_is_refused() -> None:
    for bracket in (b"[", b'{"codes":'):
        assert load_or_none(bracket * 100_000) is None


# Files made to do harm


def npz(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return buffer.getvalue()


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npy_header(description: str) -> bytes:
    """The beginning of a .npy file, and nothing after it."""
    description = description.replace("**U2", "'descr': '<u2', 'fortran_order': False")
    header = description.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header


@contextmanager
def peak_below(limit: int) -> Iterator[None]:
    """The block takes less than `limit` bytes, NumPy's included."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()


HEADER = npy(json.dumps(SOUND._header()))


class Bomb:
    """Unpickling it would be noticed."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return (os._exit, ("unpickled",))


NO_CODES = {
    "too big to exist": npy_header("{**U2, 'shape': (1000000000, 1000000000)}"),
    "too big to hold": npy_header("{**U2, 'shape': (100000, 100000)}"),
    "negative shape": npy_header("{**U2, 'shape': (-1, -1)}"),
    "long strings": npy_header("{'descr': '<U9999999', 'fortran_order': False, 'shape': (2, 30)}"),
    "empty items": npy_header(
        "{'descr': '|V0', 'fortran_order': False, 'shape': (999999999, 999999999)}"
    ),
    "code for a header": npy_header("__import__('os')._exit(1)"),
    "brackets": npy_header("(" * 100),
    "no header": b"",
    "objects": npy(np.array([[Bomb()] * 30] * 2, object)),
    "floats": npy(np.zeros((2, 30), "f4")),
    "dates": npy(np.zeros((2, 30), "M8[s]")),
    "records": npy(np.zeros((2, 30), [("a", "u2")])),
    "a row": npy(np.zeros(60, "u2")),
    "more frames than the header says": npy(np.zeros((2, 10**5), "u2")),
    "a zip in the zip": npz(codes=npy(SOUND.codes)),
}


@pytest.mark.parametrize("codes", NO_CODES.values(), ids=NO_CODES.keys())
def test_an_array_that_is_no_codes_is_refused_and_does_no_harm(codes: bytes) -> None:
    data = npz(header=HEADER, codes=codes)
    with peak_below(10_000_000):
        assert load_or_none(data) is None


def test_the_arrays_above_are_refused_for_what_they_are() -> None:
    assert load_or_none(npz(header=HEADER, codes=npy(SOUND.codes))) == SOUND
    assert load_or_none(npz(header=HEADER, codes=npy(np.asfortranarray(SOUND.codes)))) == SOUND
    assert load_or_none(npz(header=HEADER, codes=npy(SOUND.codes.astype(">i8")))) == SOUND


def test_a_zip_bomb_is_refused_before_it_unpacks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("npz", "tokens"):
        monkeypatch.setattr(f"vqaudio.tokens.{module}.MAX_CODES", 100_000)
    data = npz(header=HEADER, codes=npy(np.zeros((8, 10**6), "u2")))
    assert len(data) < 20_000
    with peak_below(1_000_000), pytest.raises(TokensError, match="would unpack to 16001"):
        Tokens.from_bytes(data, "tokens")
    with pytest.raises(TokensError, match="100001 codes are more than 100000: cut the sound"):
        tokens_of(10_000_100, sizes=(2,))


def test_one_long_string_among_many_codes_costs_nothing() -> None:
    # As a NumPy array of strings it would take 4 bytes x 100,000 x 10,000.
    values = {**json.loads(JSON), "codes": [["x" * 100_000, *["1"] * 10_000]]}
    data = json.dumps(values).encode()
    with peak_below(10_000_000):
        assert load_or_none(data) is None


# Whole or not at all


@pytest.mark.parametrize("name", ["a.npz", "a.json", "a.vqa"])
@pytest.mark.parametrize("call", ["os.replace", "pathlib.Path.open"])
def test_a_full_disk_leaves_the_old_file(
    tmp_path: Path, name: str, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    tokens_of().save(tmp_path / name)
    with monkeypatch.context() as patch:
        patch.setattr(call, full)
        with pytest.raises(VqaudioError, match=rf"cannot write .*{name}: No space left on device"):
            tokens_of(5000).save(tmp_path / name)
    assert os.listdir(tmp_path) == [name]
    assert Tokens.load(tmp_path / name) == tokens_of()


@pytest.mark.parametrize("name", ["a.npz", "a.vqa"])
def test_reading_tokens_does_not_import_torch(tmp_path: Path, name: str) -> None:
    tokens_of().save(tmp_path / name)
    code = """
        import sys, vqaudio
        print(vqaudio.Tokens.load(sys.argv[1]))
        slow = {"torch", "librosa", "numba", "scipy", "typer", "constriction"}
        assert not slow & set(sys.modules)
    """
    code = "\n".join(line.strip() for line in code.splitlines())
    run = [sys.executable, "-c", code, str(tmp_path / name)]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.startswith("Tokens(2 x 10 codes")
