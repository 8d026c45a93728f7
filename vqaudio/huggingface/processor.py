"""Text with sounds in it to the ids of one language model, and what it wrote back to both."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from vqaudio.errors import TokensError
from vqaudio.files import atomic
from vqaudio.huggingface.layout import Layout
from vqaudio.huggingface.reading import PLACEHOLDER, READERS, Decoded, as_ids, stretches
from vqaudio.huggingface.text_tokenizer import (
    TextTokenizer,
    find_offset,
    load_text_tokenizer,
    text_tokenizer,
)
from vqaudio.patterns import arrange
from vqaudio.tokenizer import Tokenizer, load
from vqaudio.tokens import FORMATS, Tokens

Sound: TypeAlias = Tokens | str | os.PathLike[str] | NDArray[Any] | Tensor
"""Tokens, the path of a sound or token file, or samples [S] or [channels, S]."""


class AudioTextProcessor:
    """A text tokenizer and an audio tokenizer as one, with the manners of `transformers`.

    A class of its own, not a ProcessorMixin: what that asks of its children changes from version
    to version, and a folder of today should be read tomorrow.
    """

    def __init__(
        self, tokenizer: TextTokenizer, layout: Layout, *, audio_tokenizer: Tokenizer | None = None
    ) -> None:
        """`tokenizer` knows the names of `layout`; without `audio_tokenizer` sounds are `Tokens`.

        Raises TokensError when the three do not belong together.
        """
        if audio_tokenizer is not None and audio_tokenizer.fingerprint != layout.model:
            raise TokensError(
                f"the ids are codes of model {layout.model}, this is model "
                f"{audio_tokenizer.fingerprint}: give the model that they were made with"
            )
        self.tokenizer = tokenizer
        self.layout = layout
        self.audio_tokenizer = audio_tokenizer
        self.offset = find_offset(tokenizer, layout.vocabulary)
        self._names = np.array(layout.vocabulary.names())
        self.model_input_names = ["input_ids", "attention_mask"]

    @classmethod
    def build(
        cls,
        base: str | os.PathLike[str] | TextTokenizer | None,
        audio_tokenizer: Tokenizer,
        *,
        pattern: str = "flatten",
        num_codebooks: int | None = None,
    ) -> AudioTextProcessor:
        """From a text tokenizer, as `text_tokenizer` takes it, and the first levels of a model.

        Raises TokensError as `text_tokenizer` and `Layout` do.
        """
        layout = Layout.of(audio_tokenizer, pattern=pattern, num_codebooks=num_codebooks)
        tokenizer = text_tokenizer(base, layout.vocabulary)
        return cls(tokenizer, layout, audio_tokenizer=audio_tokenizer)

    def __repr__(self) -> str:
        return (
            f"AudioTextProcessor({len(self.tokenizer)} tokens, sound from id {self.offset} on, "
            f"{self.layout})"
        )

    def __call__(
        self,
        text: str | Sequence[str] | None = None,
        audio: Sound | Sequence[Sound] | None = None,
        *,
        sample_rate: int | None = None,
        to_be_continued: bool = False,
        **options: Any,
    ) -> Any:
        """B texts, with the sounds of `audio` in place of each PLACEHOLDER in turn -> ids.

        A BatchEncoding of `input_ids` and `attention_mask`, [B, L] int64, padded. Without `text`
        each sound is a sequence. `sample_rate` is that of arrays in Hz (None: the model's own).
        Where a text ends with a sound, `to_be_continued` leaves it open, for a model to go on.
        `options` are those of the text tokenizer: padding_side, max_length, truncation, ...

        Raises TokensError when placeholders and sounds are not equally many, for tokens of another
        model, and for waveforms without an audio tokenizer; AudioError for what is no sound.
        """
        sounds = _as_list(audio)
        texts = [PLACEHOLDER] * len(sounds) if text is None else _as_list(text)
        wanted = sum(text.count(PLACEHOLDER) for text in texts)
        if wanted != len(sounds):
            raise TokensError(
                f"{wanted} times {PLACEHOLDER} in the text, but {len(sounds)} sounds: give one each"
            )
        if not texts:
            raise TokensError("neither text nor sound came: give one of them")
        spelled = iter([self._spell(tokens) for tokens in self._to_tokens(sounds, sample_rate)])
        written = [self._fill(text, spelled, to_be_continued=to_be_continued) for text in texts]
        if not self.offset and any(re.sub("<[^<>]*>", "", text).strip() for text in written):
            raise TokensError("this tokenizer knows nothing but sound: build one from a text one")
        options = {
            "padding": True,
            "return_tensors": "pt",
            "return_token_type_ids": False,
            **options,
        }
        return self.tokenizer(written, **options)

    def decode(
        self,
        ids: ArrayLike | Tensor,
        *,
        errors: Literal["raise", "skip"] = "raise",
        skip_special_tokens: bool = True,
    ) -> Decoded:
        """Ids [L], as a model wrote them after those of its prompt -> the text and sounds in them.

        Padding at either side is ignored. A sound needs no end; of a frame (coarse-first: a level)
        in the middle of which the ids stop, nothing is returned. Other ids out of place raise
        TokensError, which says where, or are left out with `errors` "skip"; `num_dropped` counts.
        `skip_special_tokens` is about text, as in `transformers`.
        """
        skip = errors == "skip"
        given = as_ids(ids)
        vocabulary = self.layout.vocabulary
        padding = [self.tokenizer.pad_token_id, self.offset + vocabulary.pad]
        kept = np.flatnonzero(~np.isin(given, [id for id in padding if id is not None]))
        start, end = (int(kept[0]), int(kept[-1]) + 1) if len(kept) else (0, 0)
        parts: list[str | Tokens] = []
        num_dropped = 0
        for stretch in stretches(given[start:end], vocabulary, self.offset):
            stretch = stretch._replace(place=start + stretch.place)
            if stretch.is_sound:
                sound = READERS[self.layout.pattern](stretch, vocabulary, skip=skip)
                num_dropped += sound.num_dropped
                if sound.codes.size:
                    parts.append(self.layout.tokens(sound.codes))
                continue
            unknown = (stretch.ids < 0) | (stretch.ids >= len(self.tokenizer))
            if unknown.any() and not skip:
                raise TokensError(
                    f"id {stretch.ids[unknown][0]} is beyond the {len(self.tokenizer)} tokens of "
                    "the tokenizer: errors='skip' leaves it out"
                )
            num_dropped += int(unknown.sum())
            known = stretch.ids[~unknown].tolist()
            text = self._text(known, follows=bool(parts), skip_special_tokens=skip_special_tokens)
            parts += [text] if text else []
        return Decoded(parts, num_dropped)

    def batch_decode(
        self,
        ids: Sequence[ArrayLike] | Tensor,
        *,
        errors: Literal["raise", "skip"] = "raise",
        skip_special_tokens: bool = True,
    ) -> list[Decoded]:
        """As `decode` for each row of [B, L], or each of several sequences."""
        return [
            self.decode(row, errors=errors, skip_special_tokens=skip_special_tokens) for row in ids
        ]

    def waveform(self, tokens: Tokens) -> Tensor:
        """Tokens, from `decode`, -> [1, S] float32 at `layout.sample_rate`.

        Raises TokensError without an audio tokenizer.
        """
        return self._audio_tokenizer().decode(tokens)

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write the text tokenizer, for `transformers` alone, and how to read its sounds.

        The model itself is not in the folder, only its fingerprint.
        """
        target = Path(folder)
        with tempfile.TemporaryDirectory() as written:
            self.tokenizer.save_pretrained(written)
            for file in sorted(path for path in Path(written).rglob("*") if path.is_file()):
                with atomic(target / file.relative_to(written)) as temporary:
                    shutil.copyfile(file, temporary)
        vocabulary = self.layout.vocabulary.facts()
        self.layout.save(target, offset=self.offset, vocabulary=vocabulary)

    @classmethod
    def from_pretrained(
        cls,
        folder: str | os.PathLike[str],
        *,
        audio_tokenizer: Tokenizer | str | os.PathLike[str] | None = None,
    ) -> AudioTextProcessor:
        """What `save_pretrained` wrote.

        `audio_tokenizer` is one, or what `vqaudio.load` takes to load it; without it the bundled
        model is taken when it made the codes, and else sounds are `Tokens` both ways.

        Raises TokensError for a folder of something else, or another model; ModelError when there
        is no such model.
        """
        layout = Layout.load(Path(folder))
        tokenizer = load_text_tokenizer(folder)
        if audio_tokenizer is None:
            bundled = load()
            audio_tokenizer = bundled if bundled.fingerprint == layout.model else None
        elif not isinstance(audio_tokenizer, Tokenizer):
            audio_tokenizer = load(audio_tokenizer)
        return cls(tokenizer, layout, audio_tokenizer=audio_tokenizer)

    def _audio_tokenizer(self) -> Tokenizer:
        if self.audio_tokenizer is None:
            raise TokensError(
                f"there is no model to turn sound into codes and back: set audio_tokenizer to "
                f"vqaudio.load(...) of model {self.layout.model}"
            )
        return self.audio_tokenizer

    def _to_tokens(self, sounds: Sequence[Sound], sample_rate: int | None) -> list[Tokens]:
        """Arrays go through the model together."""
        levels = len(self.layout.codebook_sizes)
        found: dict[int, Tokens] = {}
        arrays: dict[int, Any] = {}
        for place, sound in enumerate(sounds):
            if isinstance(sound, Tokens):
                found[place] = sound
            elif not isinstance(sound, (str, os.PathLike)):
                arrays[place] = sound
            elif Path(sound).suffix.lower() in FORMATS:
                found[place] = Tokens.load(sound)
            else:
                model = self._audio_tokenizer()
                found[place] = model.encode_file(Path(sound), num_codebooks=levels)
        if arrays:
            encoded = self._audio_tokenizer().encode_batch(
                list(arrays.values()), sample_rate, num_codebooks=levels
            )
            found.update(zip(arrays, encoded, strict=True))
        return [self.layout.fit(found[place]) for place in range(len(sounds))]

    def _spell(self, tokens: Tokens) -> str:
        """As the names of its ids, with begin and end."""
        sizes, pattern = self.layout.codebook_sizes, self.layout.pattern
        return "".join(self._names[arrange(tokens.codes, sizes, pattern)[0]])

    def _fill(self, text: str, spelled: Iterator[str], *, to_be_continued: bool) -> str:
        # The names are tokenized with the text, which is then cut into words as it always is.
        first, *others = text.split(PLACEHOLDER)
        filled = first + "".join(next(spelled) + other for other in others)
        if to_be_continued and text.endswith(PLACEHOLDER):
            return filled.removesuffix(str(self._names[self.layout.vocabulary.end]))
        return filled

    def _text(self, ids: list[int], *, follows: bool, skip_special_tokens: bool) -> str:
        """Text `ids` as they read where they stand: some tokenizers drop a space at the front."""

        def read(some: list[int]) -> str:
            return str(
                self.tokenizer.decode(
                    some,
                    skip_special_tokens=skip_special_tokens,
                    clean_up_tokenization_spaces=False,
                )
            )

        if not follows:
            return read(ids)
        vocabulary = self.layout.vocabulary
        code = vocabulary.offsets[0]
        name, before = str(self._names[code]), self.offset + code
        # Some decoders join all tokens with a space.
        joint = read([before, before]).removeprefix(name).removesuffix(name)
        return read([before, *ids]).removeprefix(name).removeprefix(joint)


def _as_list(given: Any) -> list[Any]:
    """One or several texts or sounds -> several."""
    if given is None:
        return []
    return list(given) if isinstance(given, (list, tuple)) else [given]
