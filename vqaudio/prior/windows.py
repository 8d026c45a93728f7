"""Sounds cut into windows that a prior sees at once, and windows stacked into batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vqaudio.prior.layout import NO_CODE, layout_of, stop_column
from vqaudio.prior.model import Prior
from vqaudio.prior.sequences import Sequence, TokenSet


class Window(NamedTuple):
    """A stretch of one sound."""

    codes: NDArray[np.uint16]
    """[Q, T]."""
    condition: list[int]
    """Ids that come before it."""
    is_last: bool
    """Whether the sound ends with it."""


class Batch(NamedTuple):
    """What `Prior.score` takes."""

    ids: Tensor
    levels: Tensor
    stops: Tensor


def windows_of(prior: Prior, sequence: Sequence) -> Iterator[Window]:
    """All of a sound, in windows that do not overlap."""
    codes, step = sequence.codes, prior.config.context_frames
    condition = prior.condition(speaker=sequence.speaker, text=sequence.text)
    for start in range(0, codes.shape[1], step):
        end = start + step
        yield Window(codes[:, start:end], condition, end >= codes.shape[1])


def draw_windows(
    prior: Prior, tokens: TokenSet, size: int, random: np.random.Generator
) -> list[Window]:
    """`size` windows of a training step: each frame of all sounds is as likely to be in one.

    With a text before it a window begins with the sound, or else nobody could tell which of the
    words are in it. One in ten goes without its condition.
    """
    lengths = np.array([one.codes.shape[1] for one in tokens.sequences])
    context = prior.config.context_frames
    windows = []
    for place in random.choice(len(lengths), size, p=lengths / lengths.sum()):
        sequence, length = tokens.sequences[place], lengths[place]
        told = random.random() >= 0.1
        condition = prior.condition(
            speaker=sequence.speaker if told else None, text=sequence.text if told else None
        )
        has_text = prior.config.condition == "text" and bool(condition)
        start = 0 if has_text else int(random.integers(max(length - context, 0) + 1))
        end = start + context
        windows.append(Window(sequence.codes[:, start:end], condition, end >= length))
    return windows


def stack(prior: Prior, windows: Iterable[Window]) -> Batch:
    """Windows of whatever lengths, padded at their ends, on the prior's device."""
    ids, levels, stops = [], [], []
    pattern, sizes = prior.config.pattern, prior.codebook_sizes
    for codes, condition, is_last in windows:
        layout = layout_of(pattern, sizes, codes.shape[1])
        ids.append(prior.prepend(condition, torch.from_numpy(layout.fill(codes)).long()))
        no_codes = np.full((len(layout.levels), len(condition)), NO_CODE)
        levels.append(torch.from_numpy(np.concatenate([no_codes, layout.levels], axis=1)))
        stop = len(condition) + stop_column(pattern, sizes, codes.shape[1]) if is_last else 0
        stops.append(stop)
    return Batch(
        _pad(ids, prior.vocabulary.pad).to(prior.device),
        _pad(levels, NO_CODE).to(prior.device),
        torch.tensor(stops, device=prior.device),
    )


def _pad(rows: list[Tensor], value: int) -> Tensor:
    """[R, L_i] -> [B, R, max L_i]."""
    columns = [row.T for row in rows]
    padded = torch.nn.utils.rnn.pad_sequence(columns, batch_first=True, padding_value=value)
    return padded.transpose(1, 2)
