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
    for start in range(0, sequence.codes.shape[1], prior.config.context_frames):
        yield _cut(prior, sequence, start)


class Draws:
    """Windows for the steps of training: each frame of all sounds is as likely to be in one, and
    each end of a sound.

    A sound that fits in a window is drawn whole. A longer one is drawn more often, and cut
    anywhere, at its ends too: the first window and the last may be shorter. Where there are texts
    it is cut as in `windows_of`, for the text belongs to the first of these windows.
    """

    def __init__(self, prior: Prior, tokens: TokenSet) -> None:
        self.prior = prior
        self.sequences = tokens.sequences
        context = prior.config.context_frames
        lengths = np.array([one.codes.shape[1] for one in self.sequences])
        self.has_texts = prior.config.condition == "text"
        anywhere = (lengths + context - 1) / context
        in_a_row = -(-lengths // context)
        number = in_a_row if self.has_texts else np.where(lengths > context, anywhere, 1)
        self.shares = number / number.sum()

    def draw(self, size: int, random: np.random.Generator) -> list[Window]:
        """`size` windows. One in ten goes without its condition."""
        places = random.choice(len(self.sequences), size, p=self.shares)
        return [self._window(self.sequences[place], random) for place in places]

    def _window(self, sequence: Sequence, random: np.random.Generator) -> Window:
        length, context = sequence.codes.shape[1], self.prior.config.context_frames
        if self.has_texts:
            start = context * int(random.integers(-(-length // context)))
        else:
            start = int(random.integers(1 - context, length)) if length > context else 0
        return _cut(self.prior, sequence, start, told=random.random() >= 0.1)


def _cut(prior: Prior, sequence: Sequence, start: int, *, told: bool = True) -> Window:
    """The window that begins with frame `start`, which may lie before the sound.

    Only the first has the text: nobody knows which of the words are in another.
    """
    end = start + prior.config.context_frames
    condition = prior.condition(
        speaker=sequence.speaker if told else None,
        text=sequence.text if told and start == 0 else None,
    )
    codes = sequence.codes
    return Window(codes[:, max(start, 0) : end], condition, end >= codes.shape[1])


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
