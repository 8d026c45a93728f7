"""Tokens as .vqa: a bitstream, a small header before what a coder makes of the codes.

All numbers are little-endian:

    4 bytes   93 56 51 41 ("VQA")           4 bytes   sample rate, Hz
    1 byte    format version                4 bytes   hop length
    1 byte    coder: its place in CODERS    8 bytes   samples at that rate
    2 bytes   levels                        4 bytes   sample rate of the source; 0 without one
    8 bytes   fingerprint of the model      8 bytes   its samples
    8 bytes   fingerprint of the coder      2 bytes   its channels
    4 bytes   CRC-32 of the codes, uint16 [Q, T]
    4 bytes   CRC-32 of the payload
    2 bytes a level: codebook size less one
    4 bytes   CRC-32 of all above
    payload, up to the end of the file

The checksum of the codes tells when a coder computes other values than where the file was made.
"""

from __future__ import annotations

import re
import struct
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from vqaudio.entropy import CODERS, Coder, Packed, Static, bundled_frequencies
from vqaudio.errors import TokensError
from vqaudio.tokens.limits import FORMAT_VERSION, MAX_CODES

MAGIC = b"\x93VQA"
_FIXED = struct.Struct("<4sBBH8s8sIIQIQHII")
_CHECKSUM = struct.Struct("<I")


class Bitstream(NamedTuple):
    """A file taken apart, its codes still coded."""

    header: dict[str, Any]
    """As that of the other formats."""
    num_frames: int
    coder: str
    """One of CODERS."""
    coder_fingerprint: str
    """Empty where it has none."""
    codes_checksum: int
    payload: bytes


def header_size(num_codebooks: int) -> int:
    """Bytes before the payload."""
    return _FIXED.size + 2 * num_codebooks + _CHECKSUM.size


def write(header: dict[str, Any], codes: NDArray[np.uint16], coder: Coder | None = None) -> bytes:
    """Raises TokensError for what the header has no room for, or a coder that does not fit."""
    coder = Packed() if coder is None else coder
    model = model_bytes(header["model"], ".vqa")
    if coder.model not in ("", header["model"]):
        raise TokensError(
            f"coder {coder.fingerprint} is for codes of model {coder.model}, these are of model "
            f"{header['model']}: give a coder that was made for that model, or none"
        )
    sizes = header["codebook_sizes"]
    payload = coder.encode(codes, sizes)
    try:
        fixed = _FIXED.pack(
            MAGIC,
            FORMAT_VERSION,
            CODERS.index(coder.name),
            len(sizes),
            model,
            bytes.fromhex(coder.fingerprint),
            header["sample_rate"],
            header["hop_length"],
            header["num_samples"],
            *(header["source"] or (0, 0, 0)),
            _checksum(codes),
            crc32(payload),
        )
    except struct.error as error:
        raise TokensError(f"a number is too large for .vqa ({error}): save as .npz") from None
    before = fixed + (np.array(sizes) - 1).astype("<u2").tobytes()
    return before + _CHECKSUM.pack(crc32(before)) + payload


def model_bytes(model: str, suffix: str) -> bytes:
    """The 8 bytes of a fingerprint; raises TokensError for one that has others."""
    if not re.fullmatch("[0-9a-f]{16}", model):
        raise TokensError(
            f"{suffix} has room for a fingerprint of 16 hexadecimal digits, not for {model!r}: "
            "save as .npz"
        )
    return bytes.fromhex(model)


def read(data: bytes, coder: Coder | None = None) -> tuple[dict[str, Any], NDArray[np.uint16]]:
    """Header and codes.

    Raises TokensError for a damaged file, and for one that needs another coder than `coder`.
    """
    stream = take_apart(data)
    codes = _coder_of(stream, coder).decode(
        stream.payload, stream.header["codebook_sizes"], stream.num_frames
    )
    if _checksum(codes) != stream.codes_checksum:
        raise TokensError(
            f"its {stream.coder} coder computes other codes here than where the file was made: "
            "tokenize the sound again, without a coder"
        )
    return stream.header, codes


def take_apart(data: bytes) -> Bitstream:
    """Check all but the codes. Raises TokensError where something does not fit."""
    if len(data) > len(MAGIC) and data[len(MAGIC)] != FORMAT_VERSION:
        raise TokensError(f"token format {data[len(MAGIC)]} came, {FORMAT_VERSION} is read")
    if len(data) < _FIXED.size:
        raise TokensError("it is cut off in its header: get the file again")
    (_, _, coder, num_codebooks, model, fingerprint, sample_rate, hop_length, num_samples,
     *source, codes_checksum, payload_checksum) = _FIXED.unpack_from(data)  # fmt: skip
    start = header_size(num_codebooks)
    before = data[: start - _CHECKSUM.size]
    if data[len(before) : start] != _CHECKSUM.pack(crc32(before)):
        raise TokensError("its header is damaged or cut off: get the file again")
    payload = data[start:]
    if crc32(payload) != payload_checksum:
        raise TokensError("its codes are damaged, cut off or followed by more: get the file again")
    if coder >= len(CODERS):
        raise TokensError(f"its coder has number {coder}, unknown to this version: update vqaudio")
    if not (num_codebooks and hop_length and num_samples):
        raise TokensError("it claims to hold no codes: tokenize the sound again")
    num_frames = -(-num_samples // hop_length)
    if num_codebooks * num_frames > MAX_CODES:
        raise TokensError(
            f"it claims {num_codebooks * num_frames} codes, more than {MAX_CODES}: cut the sound"
        )
    sizes = np.frombuffer(before[_FIXED.size :], "<u2").astype(np.int64) + 1
    header = {
        "format_version": FORMAT_VERSION,
        "model": model.hex(),
        "sample_rate": sample_rate,
        "hop_length": hop_length,
        "num_samples": num_samples,
        "codebook_sizes": sizes.tolist(),
        "source": source if source[0] else None,
    }
    has_model = CODERS[coder] != Packed.name
    return Bitstream(
        header=header,
        num_frames=num_frames,
        coder=CODERS[coder],
        coder_fingerprint=fingerprint.hex() if has_model else "",
        codes_checksum=codes_checksum,
        payload=payload,
    )


def _coder_of(stream: Bitstream, given: Coder | None) -> Coder:
    """The coder that wrote it: the given one, or one in the box."""
    wanted = (stream.coder, stream.coder_fingerprint)
    if wanted == (Packed.name, ""):
        return Packed()
    if given is not None and (given.name, given.fingerprint) == wanted:
        return given
    if stream.coder == Static.name:
        table = bundled_frequencies(fingerprint=stream.coder_fingerprint)
        if table is not None:
            return Static(table)
    other = "" if given is None else f", not by the {given.name} coder {given.fingerprint}"
    raise TokensError(
        f"its codes were coded by the {stream.coder} coder {stream.coder_fingerprint}{other}: give "
        "the file of that coder with --coder FILE"
    )


def _checksum(codes: NDArray[np.uint16]) -> int:
    return crc32(codes.astype("<u2", order="C").tobytes())
