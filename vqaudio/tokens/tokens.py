"""The codes of one sound, and what it takes to turn them back into it."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vqaudio.entropy import Coder
from vqaudio.errors import TokensError
from vqaudio.files import atomic
from vqaudio.tokens.formats import format_in, format_of, read_bytes
from vqaudio.tokens.limits import FORMAT_VERSION, MAX_CODEBOOK_SIZE, MAX_CODES


class Source(NamedTuple):
    """The sound that was tokenized, before it was brought to the model's sample rate."""

    sample_rate: int
    """Hz."""
    num_samples: int
    """Per channel."""
    num_channels: int = 1


@dataclass(frozen=True, eq=False)
class Tokens:
    """The codes of one sound: one column a frame, one row a codebook, coarse to fine.

    Raises TokensError when the parts do not fit each other.
    """

    codes: NDArray[np.uint16]
    """[Q, T]; row q holds values below codebook_sizes[q]."""
    num_samples: int
    """Samples of the sound at `sample_rate`; decoding gives exactly as many."""
    sample_rate: int
    """Hz, of the model."""
    hop_length: int
    """Samples per frame; T = ceil(num_samples / hop_length)."""
    codebook_sizes: tuple[int, ...]
    """Codes per codebook, one for each row."""
    model: str
    """Fingerprint of the model that made the codes, and alone can read them."""
    source: Source | None = None
    """Where the sound had another rate or more channels of its own; None when unknown."""

    def __post_init__(self) -> None:
        codes, sizes = np.asarray(self.codes), tuple(self.codebook_sizes)
        plain: dict[str, Any] = {
            name: _count(getattr(self, name), name)
            for name in ("num_samples", "sample_rate", "hop_length")
        }
        plain["codebook_sizes"] = tuple(_count(size, "codebook size") for size in sizes)
        if self.source is not None:
            plain["source"] = Source(*map(_count, self.source, Source._fields))
        for name, value in plain.items():
            object.__setattr__(self, name, value)
        self._check_codes(codes)
        object.__setattr__(self, "codes", codes.astype(np.uint16, copy=False))
        self._check_origin()

    def _check_codes(self, codes: NDArray[Any]) -> None:
        if codes.ndim != 2 or codes.dtype.kind not in "iu":
            raise TokensError(
                f"codes are integers of shape [Q, T], not {codes.dtype} of {list(codes.shape)}"
            )
        if not len(codes) or len(codes) != len(self.codebook_sizes):
            raise TokensError(
                f"{len(codes)} rows of codes do not fit {len(self.codebook_sizes)} codebook sizes"
            )
        if codes.size > MAX_CODES:
            raise TokensError(f"{codes.size} codes are more than {MAX_CODES}: cut the sound")
        frames = -(-self.num_samples // self.hop_length)
        if codes.shape[1] != frames:
            raise TokensError(
                f"{self.num_samples} samples with {self.hop_length} samples per frame make "
                f"{frames} frames, but there are {codes.shape[1]}"
            )
        for row, size in zip(codes, self.codebook_sizes, strict=True):
            if size > MAX_CODEBOOK_SIZE or row.min() < 0 or row.max() >= size:
                raise TokensError(
                    f"codes from {row.min()} to {row.max()} do not fit a codebook of {size}"
                )

    def _check_origin(self) -> None:
        if not isinstance(self.model, str):
            raise TokensError(f"{self.model!r} is no fingerprint of a model")
        if self.source is None:
            return
        rate, length, _ = self.source
        if -(-length * self.sample_rate // rate) != self.num_samples:
            raise TokensError(
                f"{length} samples at {rate} Hz do not last as long as {self.num_samples} at "
                f"{self.sample_rate} Hz"
            )

    @property
    def num_codebooks(self) -> int:
        return len(self.codes)

    @property
    def num_frames(self) -> int:
        return int(self.codes.shape[1])

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop_length

    @property
    def seconds(self) -> float:
        return self.num_samples / self.sample_rate

    @property
    def bitrate(self) -> float:
        """bit/s, codes stored plainly."""
        return self.frame_rate * sum(math.log2(size) for size in self.codebook_sizes)

    def first(self, num_codebooks: int) -> Tokens:
        """The same sound from its first `num_codebooks` codebooks: fewer bits, less detail.

        Raises TokensError when there are not so many.
        """
        if not 1 <= num_codebooks <= self.num_codebooks:
            raise TokensError(
                f"{num_codebooks} codebooks asked for, these tokens have {self.num_codebooks}"
            )
        return replace(
            self,
            codes=self.codes[:num_codebooks],
            codebook_sizes=self.codebook_sizes[:num_codebooks],
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Tokens):
            return NotImplemented
        return self._header() == other._header() and np.array_equal(self.codes, other.codes)

    __hash__ = None  # type: ignore[assignment]  # arrays have none

    def __repr__(self) -> str:
        return (
            f"Tokens({self.num_codebooks} x {self.num_frames} codes, {self.seconds:.2f} s at "
            f"{self.sample_rate} Hz, {self.bitrate:.0f} bit/s, model {self.model})"
        )

    def save(self, path: str | os.PathLike[str], *, coder: Coder | None = None) -> None:
        """Write to `path` in the format of its suffix: .npz, .json, .vqa or .vqs.

        `coder` compresses the codes of a .vqa file, which packs them without one; what is coded
        by a table or a prior is read with the same one.

        Raises TokensError for another suffix, or a coder that does not fit; VqaudioError where the
        file cannot be written.
        """
        path = Path(path)
        data = self._to_bytes(path, coder)
        with atomic(path) as temporary, temporary.open("wb") as file:
            file.write(data)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, coder: Coder | None = None) -> Tokens:
        """Read what `save` wrote.

        `coder` is for .vqa files that were written with it; those that were packed, or coded by a
        table in the box, need none.

        Raises TokensError when the file is missing, damaged or something else, or needs another
        coder.
        """
        path = Path(path)
        format_of(path)
        return cls.from_bytes(read_bytes(path), str(path), coder=coder)

    def to_bytes(self, suffix: str = ".npz", *, coder: Coder | None = None) -> bytes:
        """What `save` writes to a file with that suffix; raises TokensError as `save` does."""
        return self._to_bytes(Path(f"tokens{suffix}"), coder)

    def _to_bytes(self, path: Path, coder: Coder | None) -> bytes:
        chosen = format_of(path)
        if coder is not None and not chosen.takes_coder:
            raise TokensError(f"{path} takes no coder: save as .vqa to compress the codes")
        return chosen.write(self._header(), self.codes, coder)

    @classmethod
    def from_bytes(cls, data: bytes, name: str, *, coder: Coder | None = None) -> Tokens:
        """Read the content of a token file of any format; `name` is named in errors."""
        try:
            header, codes = format_in(data).read(data, coder)
            if header.get("format_version") != FORMAT_VERSION:
                raise TokensError(
                    f"token format {header.get('format_version')} came, {FORMAT_VERSION} is read"
                )
            return cls.from_header(header, codes)
        except TokensError as error:
            raise TokensError(f"{name} cannot be used: {error}") from None
        except Exception as error:
            # Whatever bytes came: zip, array and JSON readers raise a dozen types between them.
            raise TokensError(
                f"{name} is no token file of vqaudio, or a damaged one "
                f"({type(error).__name__}): tokenize the sound again"
            ) from error

    @classmethod
    def from_header(cls, header: dict[str, Any], codes: NDArray[Any]) -> Tokens:
        """From the parts of a file. Raises TokensError where they do not fit each other."""
        source = header["source"]
        return cls(
            codes,
            num_samples=header["num_samples"],
            sample_rate=header["sample_rate"],
            hop_length=header["hop_length"],
            codebook_sizes=tuple(header["codebook_sizes"]),
            model=header["model"],
            source=None if source is None else Source(*source),
        )

    def _header(self) -> dict[str, Any]:
        return {
            "format_version": FORMAT_VERSION,
            "model": self.model,
            "sample_rate": self.sample_rate,
            "hop_length": self.hop_length,
            "frame_rate": self.frame_rate,
            "num_samples": self.num_samples,
            "codebook_sizes": list(self.codebook_sizes),
            "source": None if self.source is None else list(self.source),
        }


def _count(value: Any, name: str) -> int:
    """`value`, from a file or a caller, as a plain positive int (NumPy's cannot go into JSON)."""
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool):
        raise TokensError(f"{value!r} is no {name.replace('_', ' ')}: it must be a whole number")
    if not 1 <= value < 2**63:
        raise TokensError(f"a {name.replace('_', ' ')} of {value} is out of range")
    return int(value)
