"""What it takes to turn ids back into sound, as a file beside a text tokenizer."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vqaudio.errors import TokensError
from vqaudio.files import atomic
from vqaudio.patterns import PATTERNS, Vocabulary, find_pattern
from vqaudio.tokenizer import Tokenizer
from vqaudio.tokens import Tokens

FILE = "vqaudio.json"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Layout:
    """The model that codes are of, and the pattern that they lie in.

    Raises TokensError for a pattern that has more than one row.
    """

    model: str
    """Fingerprint of the model that made the codes, and alone can read them."""
    codebook_sizes: tuple[int, ...]
    """Codes per codebook; the first of the model's codebooks, or all."""
    sample_rate: int
    """Hz, of the model."""
    hop_length: int
    """Samples per frame."""
    pattern: str = "flatten"
    """One of PATTERNS that has one row."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "codebook_sizes", tuple(self.codebook_sizes))
        if not find_pattern(self.pattern).one_row:
            fitting = " or ".join(name for name, found in PATTERNS.items() if found.one_row)
            raise TokensError(
                f"{self.pattern} has a row for each level, text has one: choose {fitting}"
            )

    @classmethod
    def of(
        cls, tokenizer: Tokenizer, *, pattern: str = "flatten", num_codebooks: int | None = None
    ) -> Layout:
        """Of the codes that `tokenizer` makes, from the first `num_codebooks` levels.

        Raises TokensError for levels that the model lacks.
        """
        tokenizer.check_levels(num_codebooks)
        codec = tokenizer.codec
        return cls(
            tokenizer.fingerprint,
            codec.codebook_sizes[:num_codebooks],
            codec.sample_rate,
            codec.hop_length,
            pattern,
        )

    @property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary(self.codebook_sizes)

    def fit(self, tokens: Tokens) -> Tokens:
        """`tokens` with as many levels as this has.

        Raises TokensError when they have fewer, or are of another model.
        """
        if tokens.model != self.model:
            raise TokensError(
                f"the tokens were made by model {tokens.model}, these ids are of {self.model}: "
                "tokenize the sound with that model"
            )
        levels = len(self.codebook_sizes)
        if tokens.num_codebooks < levels:
            raise TokensError(f"the tokens have {tokens.num_codebooks} levels, {levels} are needed")
        return tokens.first(levels)

    def tokens(self, codes: NDArray[np.uint16]) -> Tokens:
        """Codes [Q, T] of all levels or of the first -> Tokens that last for whole frames."""
        return Tokens(
            codes,
            num_samples=codes.shape[1] * self.hop_length,
            sample_rate=self.sample_rate,
            hop_length=self.hop_length,
            codebook_sizes=self.codebook_sizes[: len(codes)],
            model=self.model,
        )

    def save(self, folder: Path, **more: Any) -> None:
        """Write FILE into `folder`, with `more` for other readers."""
        write_facts(folder, **asdict(self), **more)

    @classmethod
    def load(cls, folder: Path) -> Layout:
        """What `save` wrote. Raises TokensError when it is not there, damaged or another kind."""
        facts = read_facts(folder)
        try:
            return cls(**{field.name: facts[field.name] for field in fields(cls)})
        except (KeyError, TypeError) as error:
            raise TokensError(f"{folder / FILE} does not describe a pattern: {error}") from None


def write_facts(folder: Path, **facts: Any) -> None:
    """Plain values as FILE of `folder`."""
    with atomic(folder / FILE) as temporary:
        lines = json.dumps({"format_version": FORMAT_VERSION, **facts}, indent=2)
        temporary.write_text(f"{lines}\n", encoding="utf-8")


def read_facts(folder: Path) -> dict[str, Any]:
    """FILE of `folder`. Raises TokensError when it is not there, damaged or of another version."""
    try:
        facts = json.loads((folder / FILE).read_text(encoding="utf-8"))
        version = facts["format_version"]
    except OSError as error:
        raise TokensError(
            f"cannot read {folder / FILE}: {error.strerror}; give a folder that vqaudio wrote"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise TokensError(f"{folder / FILE} is damaged, or something else") from None
    if version != FORMAT_VERSION:
        raise TokensError(
            f"{folder / FILE} has format {version}, this vqaudio reads {FORMAT_VERSION}"
        )
    return dict(facts)
