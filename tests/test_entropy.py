"""Coders: what was encoded is what is decoded, in as few bits as the frequencies promise."""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vqaudio import Tokens, TokensError
from vqaudio.entropy import (
    CODERS,
    Coder,
    Frequencies,
    Packed,
    Static,
    bundled_frequencies,
    count,
)
from vqaudio.entropy.static import parts
from vqaudio.tokens.vqa import header_size

relaxed = settings(max_examples=150, deadline=None)

MODEL = "0123456789abcdef"
EXAMPLE = Path(__file__).parent.parent / "vqaudio" / "models" / "example.npz"

SIZES = (1, 2, 3, 1000, 1024, 65536)
TABLES = ("nothing", "even", "skewed", "one code has all")


def codes_of(sizes: Sequence[int], num_frames: int, seed: int = 0) -> NDArray[np.uint16]:
    random = np.random.default_rng(seed)
    codes = np.stack([random.integers(0, size, num_frames) for size in sizes])
    codes[:, num_frames // 2] = np.array(sizes) - 1  # the largest code of all is among them
    return codes.astype(np.uint16)


def table_of(sizes: Sequence[int], kind: str = "skewed", model: str = MODEL) -> Frequencies:
    made = {
        "nothing": lambda size: np.zeros(size),
        "even": lambda size: np.full(size, 1000),
        "skewed": lambda size: 1e6 / np.arange(1, size + 1),
        "one code has all": lambda size: (2**32 - 1) * (np.arange(size) == size // 2),
    }[kind]
    return Frequencies(tuple(made(size).astype(np.uint32) for size in sizes), model)


def twice(coder: Coder, codes: NDArray[np.uint16], sizes: Sequence[int]) -> NDArray[np.uint16]:
    """There and back."""
    return coder.decode(coder.encode(codes, sizes), sizes, codes.shape[1])


# There and back


@relaxed
@given(
    sizes=st.lists(st.sampled_from(SIZES), min_size=1, max_size=9),
    num_frames=st.integers(1, 5000),
    kind=st.sampled_from(("packed", *TABLES)),
    seed=st.integers(0, 99),
)
def test_no_code_is_lost(sizes: list[int], num_frames: int, kind: str, seed: int) -> None:
    coder: Coder = Packed() if kind == "packed" else Static(table_of(sizes, kind))
    codes = codes_of(sizes, num_frames, seed)
    back = twice(coder, codes, sizes)
    assert back.dtype == np.uint16
    assert np.array_equal(back, codes)


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("size", SIZES)
def test_codes_that_are_all_likely_or_all_unlikely(size: int, kind: str) -> None:
    coder = Static(table_of((size,), kind))
    for code in {0, size // 2, size - 1}:
        codes = np.full((1, 20_000), code, np.uint16)
        assert np.array_equal(twice(coder, codes, (size,)), codes)


def test_the_first_levels_of_a_table_do_for_tokens_of_fewer_levels() -> None:
    coder = Static(table_of((1024, 512, 256)))
    codes = codes_of((1024, 512), 100)
    assert np.array_equal(twice(coder, codes, (1024, 512)), codes)


def test_coders_have_names_that_files_know() -> None:
    assert CODERS == ("packed", "static", "prior")  # their places are in files: only append
    assert [Packed.name, Static.name] == ["packed", "static"]


# Packed


def slow_pack(codes: NDArray[np.uint16], sizes: Sequence[int]) -> bytes:
    text = ""
    for frame in codes.T:
        for code, size in zip(frame, sizes, strict=True):
            text += f"{code:016b}"[16 - math.ceil(math.log2(size)) :]
    text += "0" * (-len(text) % 8)
    return bytes(int(text[place : place + 8], 2) for place in range(0, len(text), 8))


@relaxed
@given(
    sizes=st.lists(st.sampled_from(SIZES), min_size=1, max_size=9), num_frames=st.integers(1, 60)
)
def test_packed_bits_are_these(sizes: list[int], num_frames: int) -> None:
    codes = codes_of(sizes, num_frames)
    assert Packed().encode(codes, sizes) == slow_pack(codes, sizes)


def test_packing_goes_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    codes, sizes = codes_of((3, 1000), 1000), (3, 1000)
    at_once = Packed().encode(codes, sizes)
    monkeypatch.setattr("vqaudio.entropy.packed.BITS_AT_ONCE", 200)
    assert Packed().encode(codes, sizes) == at_once
    assert np.array_equal(twice(Packed(), codes, sizes), codes)


def test_packed_bytes_of_another_length_are_refused() -> None:
    for payload in (bytes(12), bytes(14), b""):
        with pytest.raises(TokensError, match=r"10 frames of packed codes take 13 bytes, but"):
            Packed().decode(payload, (1024,), 10)


# Static


def slow_decode(
    payload: bytes, tables: Sequence[NDArray[np.int64]], num_frames: int
) -> list[list[int]]:
    """A range decoder as textbooks have it, of 64 bits, with words of 32."""
    words: Iterator[int] = iter(np.frombuffer(payload, "<u4").tolist())
    whole = 2**64
    lower, width = 0, whole - 1
    point = next(words, 0) << 32 | next(words, 0)
    codes: list[list[int]] = []
    for table in tables:
        edges = [0, *np.cumsum(table).tolist()]
        codes.append([])
        for _ in range(num_frames):
            unit = width >> 24
            place = (point - lower) % whole // unit
            code = next(n for n, edge in enumerate(edges[1:]) if place < edge)
            codes[-1].append(code)
            lower = (lower + unit * edges[code]) % whole
            width = unit * (edges[code + 1] - edges[code])
            if width < 2**32:
                lower, width = (lower << 32) % whole, width << 32
                point = (point << 32) % whole | next(words, 0)
    return codes


@relaxed
@given(
    sizes=st.lists(st.sampled_from((2, 3, 50)), min_size=1, max_size=4),
    num_frames=st.integers(1, 200),
    kind=st.sampled_from(TABLES),
)
def test_static_bytes_are_those_of_a_plain_range_coder(
    sizes: list[int], num_frames: int, kind: str
) -> None:
    # Another release of constriction must not read our files in another way.
    table, codes = table_of(sizes, kind), codes_of(sizes, num_frames)
    payload = Static(table).encode(codes, sizes)
    assert slow_decode(payload, [parts(c) for c in table.counts], num_frames) == codes.tolist()


def test_static_bytes_stay_these() -> None:
    codes = np.arange(10, dtype=np.uint16)[None]
    assert Static(table_of((10,))).encode(codes, (10,)).hex() == "02e8a726a536cf44"


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("size", SIZES)
def test_parts_are_whole_and_leave_no_code_out(size: int, kind: str) -> None:
    counts = table_of((size,), kind).counts[0]
    found = parts(counts)
    assert found.sum() == 2**24
    assert found.min() >= 1
    ideal = (counts + 1.0) / (counts + 1.0).sum() * (2**24 - size) + 1
    assert np.abs(found - ideal).max() <= 1


def test_bits_are_those_that_the_frequencies_promise() -> None:
    sizes = (1024, 256)
    table = table_of(sizes)
    random = np.random.default_rng(0)
    shares = [level / level.sum() for level in table.counts]
    codes = np.stack([random.choice(len(p), 20_000, p=p) for p in shares]).astype(np.uint16)
    ideal = -sum(np.log2(p[row]).sum() for p, row in zip(shares, codes, strict=True))
    bits = 8 * len(Static(table).encode(codes, sizes))
    assert ideal < bits < 1.002 * ideal
    assert bits < 0.9 * 8 * len(Packed().encode(codes, sizes))


def test_codebooks_that_a_table_lacks_are_refused() -> None:
    coder = Static(table_of((16, 8)))
    for sizes in ((16, 9), (8,), (16, 8, 8)):
        words = r"codebooks of [\d +]+ are not those of the table, which are 16 \+ 8"
        with pytest.raises(TokensError, match=words):
            coder.encode(codes_of(sizes, 10), sizes)
        with pytest.raises(TokensError, match=words):
            coder.decode(bytes(8), sizes, 10)


def test_more_frames_than_bytes_can_hold_are_refused_at_once() -> None:
    for num_frames in (100, 2**28, 2**60):
        with pytest.raises(TokensError, match=f"8 bytes of payload cannot hold {num_frames} fr"):
            Static(table_of((1024,), "even")).decode(bytes(8), (1024,), num_frames)


@relaxed
@given(payload=st.binary(max_size=64), num_frames=st.integers(1, 60))
def test_any_payload_is_codes_or_refused(payload: bytes, num_frames: int) -> None:
    try:
        codes = Static(table_of((1000, 3))).decode(payload, (1000, 3), num_frames)
    except TokensError:
        return
    assert codes.shape == (2, num_frames)
    assert (codes.max(axis=1) < (1000, 3)).all()


def test_without_the_library_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "constriction", None)
    with pytest.raises(TokensError, match=r"needs constriction: pip install 'vqaudio\[entropy\]'"):
        Static(table_of((16,)))


# Tables


def test_count() -> None:
    codes = np.array([[0, 1, 1, 3], [2, 2, 2, 2]], np.uint16)
    assert [level.tolist() for level in count(codes, (4, 3))] == [[1, 2, 0, 1], [0, 0, 4]]
    table = Frequencies.of(count(codes, (4, 3)), MODEL)
    assert table.codebook_sizes == (4, 3)
    assert table.counts[0].dtype == np.uint32


def test_save_and_load(tmp_path: Path) -> None:
    for sizes in ((1024,) * 8, (2, 3, 65536, 1)):
        table = table_of(sizes)
        table.save(tmp_path / "a.npz")
        back = Frequencies.load(tmp_path / "a.npz")
        assert (back.model, back.fingerprint) == (MODEL, table.fingerprint)
        assert all(map(np.array_equal, back.counts, table.counts))


def test_a_fingerprint_sees_every_part() -> None:
    fingerprints = [
        table_of((16, 8)).fingerprint,
        table_of((8, 16)).fingerprint,
        table_of((24,)).fingerprint,
        table_of((16, 8), "even").fingerprint,
        table_of((16, 8), model="fedcba9876543210").fingerprint,
    ]
    assert len(set(fingerprints)) == 5
    assert fingerprints[0] == table_of((16, 8)).fingerprint
    assert all(len(bytes.fromhex(one)) == 8 for one in fingerprints)


def test_a_damaged_table_is_the_same_or_refused(tmp_path: Path) -> None:
    path, table = tmp_path / "a.npz", table_of((64, 32))
    table.save(path)
    data = path.read_bytes()
    damaged = [data[:length] for length in range(0, len(data), 7)]
    for place in range(0, len(data), 3):
        damaged.append(data[:place] + bytes([data[place] ^ 0x41]) + data[place + 1 :])
    for content in damaged:
        path.write_bytes(content)
        with suppress(TokensError):
            assert Frequencies.load(path).fingerprint == table.fingerprint


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("raise SystemExit('unpickled')",))


def test_what_is_no_table_is_one_sentence(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, counts=np.array([Bomb()], object), header=np.array("{}"))
    contents = {"empty": b"", "tokens": EXAMPLE.read_bytes(), "objects": buffer.getvalue()}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(TokensError, match="is no table of frequencies, or a damaged one"):
            Frequencies.load(tmp_path / name)
    with pytest.raises(TokensError, match=r"cannot read a table .* No such file"):
        Frequencies.load(tmp_path / "missing")


def test_a_table_of_another_format_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("vqaudio.entropy.frequencies.FORMAT_VERSION", 2)
        table_of((16,)).save(tmp_path / "a.npz")
    with pytest.raises(TokensError, match="a table of format 2, 1 is read"):
        Frequencies.load(tmp_path / "a.npz")


def test_more_than_a_table_can_hold_is_refused() -> None:
    with pytest.raises(TokensError, match=r"more often than 2\*\*32 times"):
        Frequencies.of([np.array([1, 2**32])], MODEL)
    with pytest.raises(TokensError, match="tokens of a level are too many"):
        Frequencies((np.full(100, 2**32 - 1, np.uint32),), MODEL)


# The table in the box


def test_the_table_in_the_box_is_found_by_what_it_is_for() -> None:
    tokens = Tokens.load(EXAMPLE)
    table = bundled_frequencies(model=tokens.model)
    assert table is not None
    assert table.codebook_sizes == tokens.codebook_sizes
    assert bundled_frequencies(fingerprint=table.fingerprint) is table
    assert bundled_frequencies(model=MODEL) is None
    assert bundled_frequencies(fingerprint=MODEL) is None
    assert bundled_frequencies() is None


def test_real_codes_take_fewer_bits_with_it() -> None:
    # Not promised of every file; of 14 s of plain speech it should be so.
    tokens = Tokens.load(EXAMPLE)
    table = bundled_frequencies(model=tokens.model)
    assert table is not None
    packed, static = tokens.to_bytes(".vqa"), tokens.to_bytes(".vqa", coder=Static(table))
    assert len(packed) == header_size(8) + 10 * tokens.codes.size // 8
    assert len(static) < len(packed) < len(tokens.to_bytes(".npz"))
    assert Tokens.from_bytes(static, "static") == Tokens.from_bytes(packed, "packed") == tokens
