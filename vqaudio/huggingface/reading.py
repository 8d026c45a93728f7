"""Codes out of the ids that a language model wrote, which may do whatever it likes.

A generation may be cut anywhere, lack its end or its begin, and have codes where others are due.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from vqaudio.errors import TokensError
from vqaudio.patterns import Vocabulary
from vqaudio.tokens import Tokens

PLACEHOLDER = "<|audio|>"
"""Stands in a text where a sound belongs."""

Ids = NDArray[np.int64]


class Decoded(NamedTuple):
    """What a sequence of ids says."""

    parts: list[str | Tokens]
    """Text and sounds in their order; a sound lasts for whole frames."""
    num_dropped: int
    """Ids that belong to no sound and no text: of a frame that was cut, of a level out of place."""

    @property
    def tokens(self) -> list[Tokens]:
        return [part for part in self.parts if isinstance(part, Tokens)]

    @property
    def text(self) -> str:
        """With PLACEHOLDER for each sound: with `tokens`, what the processor takes."""
        return "".join(part if isinstance(part, str) else PLACEHOLDER for part in self.parts)


class Stretch(NamedTuple):
    """Neighbouring ids that are all text, or all of one sound."""

    ids: Ids
    """[L]; of a sound those of `Vocabulary`, without begin and end."""
    place: int
    """Where the first of them stands in the whole."""
    is_sound: bool
    is_open: bool
    """The whole stops here: a sound that did not come to its end was cut."""


class Sound(NamedTuple):
    """What was read from a stretch."""

    codes: NDArray[np.uint16]
    """[Q, T], whole frames; fewer levels where the last ones were cut off."""
    num_dropped: int
    """Ids that are in none of them."""


def as_ids(ids: ArrayLike | Tensor) -> Ids:
    """[L] from wherever they come. Raises TokensError for another shape, or what is no number."""
    given = ids.detach().cpu().numpy() if isinstance(ids, Tensor) else np.asarray(ids)
    if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
        raise TokensError(
            f"ids of shape {list(given.shape)} and type {given.dtype}: decode takes whole numbers "
            "[L], batch_decode takes several of them"
        )
    return given.astype(np.int64)


def stretches(ids: Ids, vocabulary: Vocabulary, offset: int) -> Iterator[Stretch]:
    """[L] -> what is text and what is sound, in order; empty ones are left out.

    A sound goes from begin to end, or to whatever is no sound, or to the next begin.
    """
    own = ids - offset
    is_sound = (own >= 0) & (own < vocabulary.size)
    borders = (
        (is_sound[1:] != is_sound[:-1])
        | (is_sound[1:] & (own[1:] == vocabulary.begin))
        | (is_sound[:-1] & (own[:-1] == vocabulary.end))
    )
    starts = [0, *(np.flatnonzero(borders) + 1).tolist()]
    for start, end in zip(starts, [*starts[1:], len(ids)], strict=True):
        if start == end:
            continue
        is_open = end == len(ids)
        if not is_sound[start]:
            yield Stretch(ids[start:end], start, is_sound=False, is_open=is_open)
            continue
        part = own[start:end]
        if part[-1] == vocabulary.end:
            part, is_open = part[:-1], False
        if len(part) and part[0] == vocabulary.begin:
            part, start = part[1:], start + 1
        if len(part):
            yield Stretch(part, start, is_sound=True, is_open=is_open)


def read_flatten(stretch: Stretch, vocabulary: Vocabulary, *, skip: bool) -> Sound:
    """Frame after frame.

    With `skip` all whole frames are taken, wherever they stand; else TokensError is raised at the
    first id that is not of the level that is due. In either case an incomplete frame at the end of
    what was cut is left out.
    """
    ids, num_levels = stretch.ids, len(vocabulary.codebook_sizes)
    kinds = _kinds(ids, vocabulary)
    if not skip:
        _check(stretch, kinds, np.arange(len(ids)) % num_levels, vocabulary)
        if len(ids) % num_levels and not stretch.is_open:
            raise _ended(
                stretch, f"in the middle of a frame, before <a{len(ids) % num_levels}_...>"
            )
    starts = np.array([], np.int64)
    if len(ids) >= num_levels:
        windows = np.lib.stride_tricks.sliding_window_view(kinds, num_levels)
        starts = np.flatnonzero((windows == np.arange(num_levels)).all(axis=1))
    frames = ids[starts[:, None] + np.arange(num_levels)]
    return Sound(vocabulary.to_codes(frames.T), len(ids) - frames.size)


def read_coarse_first(stretch: Stretch, vocabulary: Vocabulary, *, skip: bool) -> Sound:
    """Level after level, each after its mark; the first says how many frames there are.

    What was cut is heard with the levels that are complete, coarser than it was meant. With `skip`
    the same is done before an id that is not due, for which TokensError is raised without it.
    """
    ids, num_levels = stretch.ids, len(vocabulary.codebook_sizes)
    kinds = _kinds(ids, vocabulary)
    others = np.flatnonzero(kinds[1:] != 0)
    num_frames = int(others[0]) if len(others) else len(ids) - 1
    levels, places = np.divmod(np.arange(len(ids)), num_frames + 1)
    due = np.where(places == 0, num_levels + levels, levels)
    due[levels >= num_levels] = END
    if not skip:
        _check(stretch, kinds, due, vocabulary)
        if len(ids) != num_levels * (num_frames + 1) and not stretch.is_open:
            raise _ended(stretch, f"in the middle of <a{levels[-1]}>, or before the next level")
    num_good = int((kinds != due).argmax()) if (kinds != due).any() else len(ids)
    complete = ids[: num_good - num_good % (num_frames + 1)].reshape(-1, num_frames + 1)[:, 1:]
    if not complete.size:
        return Sound(np.zeros((1, 0), np.uint16), len(ids))
    return Sound(vocabulary.to_codes(complete), len(ids) - complete.size - len(complete))


READERS = {"flatten": read_flatten, "coarse-first": read_coarse_first}
"""By the patterns of one row."""


OTHER, END = -1, -2
"""Kinds of ids that are neither a code nor a mark."""


def _kinds(ids: Ids, vocabulary: Vocabulary) -> NDArray[np.int64]:
    """For a code of level q: q; for the mark of level q: Q + q; OTHER for what is neither."""
    num_levels = len(vocabulary.codebook_sizes)
    kinds: NDArray[Any] = np.searchsorted(np.array(vocabulary.offsets), ids, side="right") - 1
    marks = (ids >= vocabulary.marks[0]) & (ids <= vocabulary.marks[-1])
    kinds[marks] = num_levels + ids[marks] - vocabulary.marks[0]
    return kinds


def _check(
    stretch: Stretch, kinds: NDArray[np.int64], due: NDArray[np.int64], vocabulary: Vocabulary
) -> None:
    """Raises TokensError at the first kind that is not due."""
    wrong = np.flatnonzero(kinds != due)
    if not len(wrong):
        return
    at = int(wrong[0])
    num_levels = len(vocabulary.codebook_sizes)
    level = int(due[at])
    what = f"a code <a{level}_...>" if level < num_levels else f"the mark <a{level - num_levels}>"
    raise TokensError(
        f"{vocabulary.names()[stretch.ids[at]]} stands at place {stretch.place + at} of the ids, "
        f"where {'the end' if level == END else what} was due: errors='skip' leaves out what fits "
        "nowhere; an answer that goes on with the sound of its prompt is read together with it"
    )


def _ended(stretch: Stretch, where: str) -> TokensError:
    return TokensError(
        f"a sound ends at place {stretch.place + len(stretch.ids)} of the ids, {where}: "
        "errors='skip' leaves out what is incomplete"
    )
