"""A text tokenizer that knows sound: the names of a vocabulary of codes, added to its own tokens.

What comes out is an ordinary tokenizer of `transformers`. Saved, it is loaded without vqaudio.
"""

from __future__ import annotations

import copy
import os
from typing import Any, TypeAlias

from vqaudio.errors import TokensError
from vqaudio.metrics.libraries import load_library
from vqaudio.patterns import Vocabulary

TextTokenizer: TypeAlias = Any
"""A `transformers.PreTrainedTokenizerFast`; the library may be absent when types are checked."""


def text_tokenizer(
    base: str | os.PathLike[str] | TextTokenizer | None, vocabulary: Vocabulary
) -> TextTokenizer:
    """`base` with the names of `vocabulary` as further tokens, one block of ids after its own.

    `base` is the folder or the name on the hub of a text tokenizer, or one that was loaded, which
    stays as it is; None makes one that knows nothing but sound, with the ids of `vocabulary`.
    A name is always one token, whatever stands beside it. Text has the ids that it had. A base
    that has no token for padding gets that of the audio.

    Raises TokensError when there is no such tokenizer, or it cannot take the names; VqaudioError
    without transformers.
    """
    transformers = load_library("transformers", "A text tokenizer", "transformers", extra="hf")
    if base is None:
        tokenizer = _only_sound(transformers)
    elif isinstance(base, (str, os.PathLike)):
        tokenizer = load_text_tokenizer(base)
    else:
        tokenizer = copy.deepcopy(base)
    if not getattr(tokenizer, "is_fast", False):
        raise TokensError(
            f"{type(tokenizer).__name__} is no fast tokenizer: give one with a tokenizer.json"
        )
    known = tokenizer.get_vocab()
    names = vocabulary.names()
    taken = [name for name in names if name in known]
    if taken:
        raise TokensError(
            f"the text tokenizer has {len(taken)} tokens of that name already, the first is "
            f"{taken[0]}: give the one that it was made from"
        )
    # All at once: one by one it takes minutes. What is `special` vanishes from decoded text when
    # special tokens are skipped, which is right for padding and wrong for sound.
    token = transformers.AddedToken
    tokenizer.add_tokens(
        [token(name, normalized=False, special=place == 0) for place, name in enumerate(names)]
    )
    if base is None:
        tokenizer.bos_token = names[vocabulary.begin]
        tokenizer.eos_token = names[vocabulary.end]
    if tokenizer.pad_token is None:
        tokenizer.pad_token = names[vocabulary.pad]
    offset = find_offset(tokenizer, vocabulary)
    # The library gives the first new token the id that is the number of old ones.
    if known and max(known.values()) >= offset:
        raise TokensError(
            f"the text tokenizer has {len(known)} tokens and ids up to {max(known.values())}, "
            "with gaps between them: number its tokens without gaps"
        )
    return tokenizer


def load_text_tokenizer(source: str | os.PathLike[str]) -> TextTokenizer:
    """The text tokenizer of a folder, or of the hub. Raises TokensError when there is none."""
    transformers = load_library("transformers", "A text tokenizer", "transformers", extra="hf")
    try:
        return transformers.AutoTokenizer.from_pretrained(os.fspath(source))
    except Exception as error:  # a dozen types for what is absent, damaged or of another kind
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise TokensError(f"there is no text tokenizer at {source}: {reason[0]}") from None


def find_offset(tokenizer: TextTokenizer, vocabulary: Vocabulary) -> int:
    """The id in `tokenizer` that id 0 of `vocabulary` has; the others follow it.

    Raises TokensError when the tokenizer was not made for this vocabulary.
    """
    names = vocabulary.names()
    known = tokenizer.get_vocab()
    sizes = vocabulary.codebook_sizes
    beyond = [f"<a{len(sizes)}>", *(f"<a{level}_{size}>" for level, size in enumerate(sizes))]
    offset = known.get(names[0], 0)
    if absent := [name for name in names if name not in known]:
        fault = f"lacks {absent[0]}"
    elif more := [name for name in beyond if name in known]:
        fault = f"has {more[0]} as well"
    elif any(known[name] != offset + place for place, name in enumerate(names)):
        fault = "has other ids between its names, or another order"
    else:
        return int(offset)
    raise TokensError(
        f"the text tokenizer {fault}: it was not made for codebooks of "
        f"{' + '.join(map(str, sizes))} codes"
    )


def _only_sound(transformers: Any) -> TextTokenizer:
    tokenizers = load_library("tokenizers", "A text tokenizer", "tokenizers", extra="hf")
    # Names are matched before a model is asked; what is left over is text, and an error.
    empty = tokenizers.Tokenizer(tokenizers.models.WordLevel({}, unk_token="<unk>"))
    empty.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    empty.decoder = tokenizers.decoders.Fuse()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=empty)
