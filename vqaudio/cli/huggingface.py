"""Commands for language models of transformers: text-tokenizer, bpe."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from vqaudio.cli.jobs import refuse_to_overwrite, say
from vqaudio.cli.options import ForceOption, LevelsOption, ModelOption


class TextPattern(str, Enum):
    """Patterns that have one row, as text has."""

    flatten = "flatten"
    coarse_first = "coarse-first"


def text_tokenizer(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write.")],
    base: Annotated[
        str | None,
        typer.Option(
            "--base", help="Text tokenizer: folder, or name on the hub; only sound without it."
        ),
    ] = None,
    model: ModelOption = None,
    pattern: Annotated[
        TextPattern, typer.Option("--pattern", help="Order of the codes.")
    ] = TextPattern.flatten,
    levels: LevelsOption = None,
    force: ForceOption = False,
) -> None:
    """Add the codes of a model to a text tokenizer of transformers, as tokens like <a0_17>."""
    refuse_to_overwrite(out, force=force)
    from vqaudio.huggingface import AudioTextProcessor
    from vqaudio.tokenizer import load

    tokenizer = load(model, device="cpu")
    processor = AudioTextProcessor.build(
        base, tokenizer, pattern=pattern.value, num_codebooks=levels
    )
    processor.save_pretrained(out)
    size = processor.layout.vocabulary.size
    say(
        f"{base or 'no text'} + {size} tokens of model {tokenizer.fingerprint} -> {out}: "
        f"{len(processor.tokenizer)} tokens, sound from id {processor.offset} on"
    )


def bpe(
    tokens: Annotated[
        Path, typer.Argument(metavar="TOKENS", help="Export, or folder of token files.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write.")],
    vocab_size: Annotated[
        int, typer.Option("--vocab-size", min=1, help="Ids in all: the codes, and their merges.")
    ],
    levels: LevelsOption = None,
    force: ForceOption = False,
) -> None:
    """Learn which codes often come together, and give each such group one id.

    Every tenth file is not learned from, where there are as many, to say how much shorter it gets.
    """
    refuse_to_overwrite(out, force=force)
    from vqaudio.export import read_rows
    from vqaudio.huggingface import train_bpe

    sounds = [row.tokens for row in read_rows(tokens, levels=levels)]
    held_out = sounds[9::10]
    learned = [sound for place, sound in enumerate(sounds) if place % 10 != 9]
    first = sounds[0]
    trained = train_bpe(
        [sound.codes for sound in learned], first.codebook_sizes, vocab_size, model=first.model
    )
    trained.save(out)
    asked = held_out or learned
    ratio = trained.compression(sound.codes for sound in asked)
    kind = "not learned from" if held_out else "learned from"
    say(
        f"{len(learned)} files -> {out}: {trained.vocab_size} ids for {trained.num_codes} codes; "
        f"{ratio:.2f} codes per id in {len(asked)} files {kind}"
    )
