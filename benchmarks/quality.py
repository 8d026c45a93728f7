"""STOI, mel distance and codebook usage of models on a folder of held-out speech.

    python benchmarks/quality.py DATA [--model MODEL]... [--levels 1 2 4 8]

Prints one Markdown row per model and number of levels: means over files with 95 % bootstrap
intervals, and the number of files and tokens they stand on. The same call prints the same figures.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch

import vqaudio
from vqaudio import audio
from vqaudio.metrics import Interval, bootstrap_interval, mel_distance, stoi
from vqaudio.quantizers import CodebookUsage, count_codes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of sound files")
    parser.add_argument("--model", action="append", help="model file or name; repeatable")
    parser.add_argument("--levels", type=int, nargs="+", help="those of 1 2 4 8 without it")
    arguments = parser.parse_args()

    files = audio.find_audio(arguments.data)
    print(f"{len(files)} files of {arguments.data}; 95 % bootstrap intervals over files\n")
    print("| model | levels | bit/s | STOI | mel distance |")
    print("|---|---|---|---|---|")
    usages = {}
    for name in arguments.model or [None]:
        tokenizer = vqaudio.load(name)
        label = name or "bundled"
        levels_of_model = arguments.levels or default_levels(len(tokenizer.codec.codebook_sizes))
        rows, usages[label] = evaluate(tokenizer, files, levels_of_model)
        for levels, (clear, distance) in rows.items():
            rate = tokenizer.codec.bitrate(levels)
            print(f"| {label} | {levels} | {rate:.0f} | {show(clear)} | {show(distance)} |")
    print("\n| model | level | tokens | used | perplexity | entropy, bit |")
    print("|---|---|---|---|---|---|")
    for label, usage in usages.items():
        for level, book in enumerate(usage):
            print(
                f"| {label} | {level + 1} | {book.num_tokens} | {100 * book.used:.1f} % | "
                f"{book.perplexity:.0f} | {book.entropy:.2f} |"
            )


def default_levels(num_codebooks: int) -> list[int]:
    """Those of 1, 2, 4 and 8 that a model of so many codebooks has."""
    return [levels for levels in (1, 2, 4, 8) if levels <= num_codebooks]


def evaluate(
    tokenizer: vqaudio.Tokenizer, files: list[Path], all_levels: list[int]
) -> tuple[dict[int, tuple[Interval, Interval]], list[CodebookUsage]]:
    """For each number of levels STOI and mel distance; usage per level over all files."""
    rate = tokenizer.sample_rate
    sizes = tokenizer.codec.codebook_sizes
    counts = [torch.zeros(size, dtype=torch.int64) for size in sizes]
    clear: dict[int, list[float]] = {levels: [] for levels in all_levels}
    distance: dict[int, list[float]] = {levels: [] for levels in all_levels}
    for file in files:
        original = audio.read(file, sample_rate=rate).waveform[0]
        tokens = tokenizer.encode(original)
        for count, codes in zip(counts, tokens.codes, strict=True):
            count += count_codes(torch.from_numpy(codes.astype("int64")), len(count))
        for levels in all_levels:
            decoded = tokenizer.decode(tokens.first(levels))[0].numpy()
            clear[levels].append(stoi(original, decoded, rate))
            distance[levels].append(mel_distance(original, decoded, rate))
    rows = {
        levels: (bootstrap_interval(clear[levels]), bootstrap_interval(distance[levels]))
        for levels in all_levels
    }
    return rows, [CodebookUsage.from_counts(count) for count in counts]


def show(interval: Interval) -> str:
    if math.isnan(interval.low):
        return f"{interval.mean:.3f}"
    return f"{interval.mean:.3f} ({interval.low:.3f} to {interval.high:.3f})"


if __name__ == "__main__":
    main()
