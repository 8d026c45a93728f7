"""A row of an export: the tokens of one recording, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vqaudio.errors import TokensError
from vqaudio.export.header import Header
from vqaudio.tokens import Source, Tokens


@dataclass(frozen=True)
class Row:
    """One recording of an export, or one token file."""

    id: str
    """Its name, which no other recording of the export has."""
    tokens: Tokens
    path: str
    """Of the file, relative to what was exported where it lies there."""
    sha256: str
    """Of the file, in hexadecimal; empty where nobody knows."""
    start: float = 0.0
    """Seconds into the file, where the recording is a part of it."""
    speaker: str | None = None
    text: str | None = None
    language: str | None = None

    def facts(self) -> dict[str, Any]:
        """All but the codes as plain values, the same names in every format."""
        source = self.tokens.source or Source(self.tokens.sample_rate, self.tokens.num_samples)
        return {
            "id": self.id,
            "num_samples": self.tokens.num_samples,
            "seconds": self.tokens.seconds,
            "speaker": self.speaker,
            "text": self.text,
            "language": self.language,
            "path": self.path,
            "start": self.start,
            "source_sample_rate": source.sample_rate,
            "source_num_samples": source.num_samples,
            "source_num_channels": source.num_channels,
            "sha256": self.sha256,
        }

    @classmethod
    def from_facts(cls, facts: dict[str, Any], codes: NDArray[np.uint16], header: Header) -> Row:
        """Raises TokensError when the parts do not fit each other."""
        try:
            names = ("source_sample_rate", "source_num_samples", "source_num_channels")
            tokens = Tokens(
                codes,
                num_samples=facts["num_samples"],
                sample_rate=header.sample_rate,
                hop_length=header.hop_length,
                codebook_sizes=header.codebook_sizes,
                model=header.model,
                source=Source(*(facts[name] for name in names)),
            )
            known = ("id", "path", "sha256", "start", "speaker", "text", "language")
            return cls(tokens=tokens, **{name: facts[name] for name in known})
        except KeyError as error:
            raise TokensError(f"a row without {error} came") from None
