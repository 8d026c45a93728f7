"""The demonstration: speech to tokens and back, files and figures."""

from __future__ import annotations

from pathlib import Path

from vqaudio import audio
from vqaudio.checkpoint import BUNDLED
from vqaudio.cli.jobs import refuse_to_overwrite
from vqaudio.errors import VqaudioError
from vqaudio.metrics import mel_distance, stoi
from vqaudio.tokenizer import Tokenizer
from vqaudio.tokens import Tokens

EXAMPLE = BUNDLED / "example.npz"
"""Tokens of real speech, made by the bundled model; origin and licence in models/README.md."""


def run_demo(tokenizer: Tokenizer, source: Path | None, out: Path, *, force: bool) -> list[str]:
    """Write tokens and decoded sound of `source` below `out`; returns what happened, in lines.

    Without a source the bundled example is decoded first, and serves as one.

    Raises VqaudioError when one of the files exists already, unless `force`.
    """
    lines = [repr(tokenizer)]
    stem = EXAMPLE.stem if source is None else source.stem
    example_path = out / f"{stem}.wav"
    tokens_path = out / f"{stem}.npz"
    decoded_path = out / f"{stem}.decoded.wav"
    for path in (*([example_path] if source is None else []), tokens_path, decoded_path):
        refuse_to_overwrite(path, force=force)
    if source is None:
        example = Tokens.load(EXAMPLE)
        source = example_path
        tokenizer.decode_file(example, source)
        lines += [
            f"{EXAMPLE.name} (tokens of real speech) -> {source}: {example.seconds:.2f} s",
            "  made by this model, so that it fares better below than a recording would",
        ]
    tokens = tokenizer.encode_file(source)
    tokens.save(tokens_path)
    tokenizer.decode_file(tokens, decoded_path)
    lines += [
        f"{source} -> {tokens_path}: {tokens.num_codebooks} x {tokens.num_frames} codes, "
        f"{tokens.seconds:.2f} s, {tokens.bitrate:.0f} bit/s, {tokens_path.stat().st_size} bytes",
        f"{tokens_path} -> {decoded_path}",
        *_likeness(tokenizer, tokens, source),
    ]
    return lines


def _likeness(tokenizer: Tokenizer, tokens: Tokens, source: Path) -> list[str]:
    """How alike original and decoded sound are, at all levels and at a quarter of them."""
    rate = tokenizer.sample_rate
    original = audio.read(source, sample_rate=rate).waveform[0]
    lines = []
    few = max(tokens.num_codebooks // 4, tokenizer.codec.min_codebooks)
    for levels in sorted({tokens.num_codebooks, few}, reverse=True):
        part = tokens.first(levels)
        decoded = tokenizer.decode(part)[0].numpy()
        figures = [f"mel distance {mel_distance(original, decoded, rate):.3f} (0 is equal)"]
        try:
            figures.append(f"STOI {stoi(original, decoded, rate):.3f} (1 is as clear)")
        except VqaudioError as error:
            figures.append(f"no STOI: {error}")
        lines.append(f"{part.bitrate:.0f} bit/s: {', '.join(figures)}")
    return lines
