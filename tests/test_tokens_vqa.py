"""The bitstream .vqa: small, exact, and closed to whatever is not what was written."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vqaudio import Tokens, TokensError
from vqaudio.entropy import Coder, Frequencies, Static
from vqaudio.tokens import Source, vqa

relaxed = settings(max_examples=200, deadline=None)

MODEL = "0123456789abcdef"
SIZES = (1024, 1000, 3)


def tokens_of(num_frames: int = 40, sizes: Sequence[int] = SIZES, **changes: Any) -> Tokens:
    """Random codes, 100 samples to a frame, the last frame not full."""
    random = np.random.default_rng(num_frames)
    codes = np.stack([random.integers(0, size, num_frames) for size in sizes])
    parts = {
        "codes": codes,
        "num_samples": 100 * num_frames - 2,
        "sample_rate": 16000,
        "hop_length": 100,
        "codebook_sizes": sizes,
        "model": MODEL,
    }
    return Tokens(**{**parts, **changes})


def static(sizes: Sequence[int] = SIZES, scale: float = 1e6, model: str = MODEL) -> Static:
    counts = tuple((scale / np.arange(1, size + 1)).astype(np.uint32) for size in sizes)
    return Static(Frequencies(counts, model))


class Prior:
    """Stands for a language model over tokens: it knows the codes by heart."""

    name = "prior"
    fingerprint = "00112233445566ff"
    model = MODEL

    def __init__(self, *known: NDArray[np.uint16]) -> None:
        self.known = list(known)

    def encode(self, codes: NDArray[np.uint16], codebook_sizes: Sequence[int]) -> bytes:
        return bytes([next(n for n, one in enumerate(self.known) if np.array_equal(one, codes))])

    def decode(
        self, payload: bytes, codebook_sizes: Sequence[int], num_frames: int
    ) -> NDArray[np.uint16]:
        return self.known[payload[0]]


SOUND = tokens_of(source=Source(8000, 1999))
CODERS: dict[str, Coder | None] = {
    "packed": None,
    "static": static(),
    "prior": Prior(SOUND.codes),
}
FILES = {name: SOUND.to_bytes(".vqa", coder=coder) for name, coder in CODERS.items()}
each_coder = pytest.mark.parametrize("name", CODERS)


def load_or_none(data: bytes, coder: Coder | None = None) -> Tokens | None:
    """Nothing but a TokensError of one sentence may come out of `from_bytes`."""
    try:
        return Tokens.from_bytes(data, "a.vqa", coder=coder)
    except TokensError as error:
        sentence = str(error)
    assert sentence.startswith("a.vqa ")
    assert "\n" not in sentence
    return None


# There and back


@each_coder
def test_save_and_load(name: str, tmp_path: Path) -> None:
    SOUND.save(tmp_path / "a.vqa", coder=CODERS[name])
    assert (tmp_path / "a.vqa").read_bytes() == FILES[name]
    back = Tokens.load(tmp_path / "a.vqa", coder=CODERS[name])
    assert back == SOUND
    assert back.codes.dtype == np.uint16
    assert isinstance(back.source, Source)


@relaxed
@given(
    sizes=st.lists(st.sampled_from((1, 2, 3, 1000, 1024, 65536)), min_size=1, max_size=8),
    num_frames=st.integers(1, 3000),
    coded=st.booleans(),
)
def test_any_tokens(sizes: list[int], num_frames: int, coded: bool) -> None:
    tokens = tokens_of(num_frames, tuple(sizes))
    coder = static(sizes) if coded else None
    assert load_or_none(tokens.to_bytes(".vqa", coder=coder), coder) == tokens


def test_a_coder_is_no_matter_for_files_that_need_none() -> None:
    for data in (FILES["packed"], SOUND.to_bytes(".npz"), SOUND.to_bytes(".json")):
        assert load_or_none(data, CODERS["static"]) == SOUND


def test_a_table_of_all_levels_does_for_the_first_ones() -> None:
    first = SOUND.first(2)
    assert load_or_none(first.to_bytes(".vqa", coder=CODERS["static"]), CODERS["static"]) == first


# What lies in the file


def test_the_header_is_what_is_documented() -> None:
    data = FILES["static"]
    coder = CODERS["static"]
    assert coder is not None
    payload = coder.encode(SOUND.codes, SIZES)
    header = (
        b"\x93VQA"
        + bytes([1, 1])
        + struct.pack("<H", 3)
        + bytes.fromhex(MODEL + coder.fingerprint)
        + struct.pack("<IIQIQH", 16000, 100, 3998, 8000, 1999, 1)
        + struct.pack("<II", crc32(SOUND.codes.astype("<u2").tobytes()), crc32(payload))
        + struct.pack("<3H", 1023, 999, 2)
    )
    assert data == header + struct.pack("<I", crc32(header)) + payload
    assert len(data) - len(payload) == vqa.header_size(3) == 72


def test_packed_codes_take_their_bits_and_no_more() -> None:
    assert len(FILES["packed"]) == vqa.header_size(3) + 40 * (10 + 10 + 2) // 8


# Files that are damaged


@each_coder
def test_every_truncation_is_refused(name: str) -> None:
    for length in range(len(FILES[name])):
        assert load_or_none(FILES[name][:length], CODERS[name]) is None


@each_coder
def test_every_wrong_bit_is_refused(name: str) -> None:
    for place in range(8 * len(FILES[name])):
        damaged = bytearray(FILES[name])
        damaged[place // 8] ^= 1 << place % 8
        assert load_or_none(bytes(damaged), CODERS[name]) is None


@relaxed
@given(data=st.data(), name=st.sampled_from(sorted(CODERS)))
def test_mutated_files_are_refused(data: st.DataObject, name: str) -> None:
    content = FILES[name]
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, len(content)))
    damaged = content[:start] + data.draw(st.binary(max_size=40)) + content[end:]
    assert damaged == content or load_or_none(damaged, CODERS[name]) is None


@relaxed
@given(tail=st.binary(min_size=1, max_size=100), name=st.sampled_from(sorted(CODERS)))
def test_extended_files_are_refused(tail: bytes, name: str) -> None:
    assert load_or_none(FILES[name] + tail, CODERS[name]) is None


@relaxed
@given(data=st.binary(max_size=300), version=st.sampled_from((b"", b"\1")))
def test_any_bytes_are_refused(data: bytes, version: bytes) -> None:
    assert load_or_none(vqa.MAGIC + version + data, CODERS["static"]) is None


def test_what_is_wrong_is_said() -> None:
    data = FILES["packed"]
    told = {
        data[:50]: "it is cut off in its header: get the file again",
        data[:70]: "its header is damaged or cut off: get the file again",
        data[:-1]: "its codes are damaged, cut off or followed by more: get the file again",
        data[:4] + b"\2" + data[5:]: "token format 2 came, 1 is read",
    }
    for damaged, words in told.items():
        with pytest.raises(TokensError, match=rf"a\.vqa cannot be used: {words}"):
            Tokens.from_bytes(damaged, "a.vqa")


# Files made to do harm: all checksums are right


FIELDS = (
    *("magic", "version", "coder", "num_codebooks", "model", "fingerprint", "sample_rate"),
    *("hop_length", "num_samples", "source_rate", "source_samples", "source_channels"),
    *("codes_checksum", "payload_checksum"),
)


def forge(name: str, /, sizes: bytes | None = None, payload: bytes | None = None, **changes: Any):
    """FILES[name] with other values in its header."""
    data = FILES[name]
    fields = dict(zip(FIELDS, struct.unpack_from("<4sBBH8s8sIIQIQHII", data), strict=True))
    payload = data[vqa.header_size(3) :] if payload is None else payload
    fields |= {"payload_checksum": crc32(payload)} | changes
    sizes = data[62:68] if sizes is None else sizes
    header = struct.pack("<4sBBH8s8sIIQIQHII", *fields.values()) + sizes
    return header + struct.pack("<I", crc32(header)) + payload


@contextmanager
def peak_below(limit: int) -> Iterator[None]:
    """The block takes less than `limit` bytes, NumPy's included."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()


FORGED = {
    "2**60 samples": ({"num_samples": 2**60}, "it claims .* codes, more than 268435456"),
    "2**63 samples": ({"num_samples": 2**63, "hop_length": 2**32 - 1}, "it claims .* codes"),
    "many frames": ({"num_samples": 2**26 * 100}, "frames|cannot hold"),
    "no samples": ({"num_samples": 0}, "it claims to hold no codes"),
    "no hop": ({"hop_length": 0}, "it claims to hold no codes"),
    "no levels": ({"num_codebooks": 0, "sizes": b""}, "it claims to hold no codes"),
    "no sample rate": ({"sample_rate": 0}, "sample rate of 0 is out of range"),
    "a source that does not fit": ({"source_samples": 7}, "do not last as long"),
    "another length": ({"num_samples": 3900}, "frames|other codes|holds more"),
    "a frame more": ({"num_samples": 4001}, "frames|other codes|holds more"),
    "an unknown coder": ({"coder": 200}, "its coder has number 200, unknown .*: update vqaudio"),
    "many levels": ({"num_codebooks": 65535, "sizes": b"\xff" * 131070}, "frames|not those|cannot"),
    "small codebooks": ({"sizes": b"\1\0" * 3}, "frames|not those of the table"),
    "other codes": ({"codes_checksum": 1}, "computes other codes here than where the file"),
    "no payload": ({"payload": b""}, "frames|cannot hold|other codes"),
    "odd payload": ({"payload": bytes(333)}, "frames|cannot hold"),
    "a long payload": ({"payload": bytes(4000)}, "frames|other codes|holds more"),
}


@pytest.mark.parametrize("name", ["packed", "static"])
@pytest.mark.parametrize(("changes", "words"), FORGED.values(), ids=FORGED.keys())
def test_a_forged_header_does_no_harm(name: str, changes: dict[str, Any], words: str) -> None:
    data = forge(name, **changes)
    with peak_below(20_000_000), pytest.raises(TokensError, match=words):
        Tokens.from_bytes(data, "a.vqa", coder=CODERS[name])


def test_a_forgery_without_changes_is_the_file() -> None:
    for name, data in FILES.items():
        assert forge(name) == data


@relaxed
@given(
    payload=st.binary(max_size=200),
    frames=st.integers(1, 100),
    name=st.sampled_from(("packed", "static")),
)
def test_a_forged_payload_gives_no_wrong_codes(payload: bytes, frames: int, name: str) -> None:
    data = forge(name, payload=payload, num_samples=100 * frames, source_rate=0)
    assert load_or_none(data, CODERS[name]) is None


def test_a_codebook_of_one_code_has_nothing_in_the_file() -> None:
    tokens = tokens_of(5000, (1,))
    for coder in (None, static((1,))):
        data = tokens.to_bytes(".vqa", coder=coder)
        assert len(data) == vqa.header_size(1)
        assert load_or_none(data, coder) == tokens


# Coders that do not fit


def test_without_its_coder_a_file_names_what_it_needs() -> None:
    coder = CODERS["static"]
    assert coder is not None
    with pytest.raises(TokensError) as caught:
        Tokens.from_bytes(FILES["static"], "a.vqa")
    assert str(caught.value) == (
        f"a.vqa cannot be used: its codes were coded by the static coder {coder.fingerprint}: give "
        "the file of that coder with --coder FILE"
    )


def test_with_another_coder_a_file_names_both() -> None:
    other = static(scale=1e5)
    for name in ("static", "prior"):
        with pytest.raises(TokensError, match=rf"the {name} coder \w+, not by the static coder"):
            Tokens.from_bytes(FILES[name], "a.vqa", coder=other)


def test_a_coder_that_computes_other_values_is_noticed() -> None:
    # As a network does on another machine: the bytes are whole, and would give other codes.
    elsewhere = Prior(SOUND.codes ^ 1)
    with pytest.raises(TokensError, match="its prior coder computes other codes here than where"):
        Tokens.from_bytes(FILES["prior"], "a.vqa", coder=elsewhere)


def test_a_coder_of_another_model_is_refused() -> None:
    other = static(model="fedcba9876543210")
    with pytest.raises(TokensError, match=r"is for codes of model fed.*, these are of model 0123"):
        SOUND.to_bytes(".vqa", coder=other)


def test_a_coder_of_other_codebooks_is_refused() -> None:
    with pytest.raises(TokensError, match=r"codebooks of 1024 \+ 1000 \+ 3 are not those"):
        SOUND.to_bytes(".vqa", coder=static((1024, 1000)))


def test_other_formats_take_no_coder(tmp_path: Path) -> None:
    for name in ("a.npz", "a.json"):
        with pytest.raises(TokensError, match=f"{name} takes no coder: save as .vqa"):
            SOUND.save(tmp_path / name, coder=CODERS["static"])
    assert list(tmp_path.iterdir()) == []


# Tokens that the header has no room for


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "a model"}, "16 hexadecimal digits, not for 'a model': save as .npz"),
        ({"model": MODEL.upper()}, "16 hexadecimal digits"),
        ({"sample_rate": 2**32}, r"a number is too large for \.vqa .*: save as \.npz"),
        ({"source": Source(16000, 3998, 2**16)}, "a number is too large"),
    ],
)
def test_what_has_no_room_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(TokensError, match=words):
        tokens_of(**changes).to_bytes(".vqa")
