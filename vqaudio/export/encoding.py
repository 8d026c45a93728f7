"""Recordings to rows: read ahead, so that disk and decoding hide behind the model."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vqaudio import audio
from vqaudio.errors import VqaudioError
from vqaudio.export.fetching import Files
from vqaudio.export.row import Row
from vqaudio.export.sound import Sound, Unreadable, plain
from vqaudio.tokenizer import PIECE_SECONDS, Tokenizer
from vqaudio.tokens import Source, Tokens

LONG_SECONDS = 60.0
"""Files longer than this are encoded block by block; shorter ones are read whole, and ahead."""
AHEAD_SECONDS = 120.0
"""Of sound that is read before the model asks for it."""
BATCHES_AHEAD = 4
"""Batches of pieces that are collected where pieces share a batch, to be sorted by length."""

Advance = Callable[[float], None]
"""Told of so many seconds of sound more that are done."""


class Heard(NamedTuple):
    """One recording, read."""

    place: int
    sha256: str
    waveform: NDArray[np.float32] | None
    """[1, S] at the model's rate; None for a long file, which is read when its turn comes."""
    source: Source | None
    """What the file is; None for a part of it, which counts as sound of the model's rate."""
    fault: str = ""
    """Why it cannot be read."""


def encode_sounds(
    tokenizer: Tokenizer,
    sounds: Sequence[Sound],
    *,
    num_codebooks: int,
    advance: Advance,
) -> list[Row | Unreadable]:
    """The row of each recording, or why it has none, in their order.

    Memory does not grow with the length of a file; the codes of all recordings are held.

    Raises VqaudioError when none of several files is to be had: it is not their fault then.
    """
    results: dict[int, Row | Unreadable] = {}
    with Files(sounds) as files:
        for batch in _batched(tokenizer, _read_ahead(tokenizer, sounds, files)):
            for heard, tokens in _encode(tokenizer, batch, sounds, files, num_codebooks):
                sound = sounds[heard.place]
                if isinstance(tokens, str):
                    # The name that it has in the export: others would differ between machines.
                    reason = plain(tokens.replace(sound.location, sound.path))
                    results[heard.place] = Unreadable(sound.id, sound.path, reason)
                else:
                    results[heard.place] = _row(sound, tokens, heard.sha256)
                files.done(sound)
                advance(sound.seconds)
        all_missing = files.all_missing
    in_order = [results[place] for place in range(len(sounds))]
    if all_missing and isinstance(first := in_order[0], Unreadable):
        raise VqaudioError(
            f"none of {len(sounds)} recordings is to be had ({first.reason}): see that their disk "
            "or store is there; the same command goes on from there"
        )
    return in_order


def _row(sound: Sound, tokens: Tokens, sha256: str) -> Row:
    return Row(
        id=sound.id,
        tokens=tokens,
        path=sound.path,
        sha256=sha256,
        start=sound.start,
        speaker=sound.speaker,
        text=sound.text,
        language=sound.language,
    )


def _read_ahead(tokenizer: Tokenizer, sounds: Sequence[Sound], files: Files) -> Iterator[Heard]:
    """Each recording, read by other threads while the last ones are encoded."""
    places = list(range(len(sounds)))
    if tokenizer.pieces_at_once > 1:  # those of like length share a batch
        places.sort(key=lambda place: sounds[place].seconds)
    waiting: deque[tuple[float, Future[Heard]]] = deque()
    ahead, following = 0.0, iter(places)
    readers = 1 if tokenizer.device.type == "cpu" else min(os.cpu_count() or 1, 8)
    pool = ThreadPoolExecutor(readers)
    try:
        while True:
            while ahead < AHEAD_SECONDS and (place := next(following, None)) is not None:
                job = pool.submit(_read, place, sounds[place], files, tokenizer.sample_rate)
                waiting.append((sounds[place].seconds, job))
                ahead += sounds[place].seconds
            if not waiting:
                return
            seconds, job = waiting.popleft()
            ahead -= seconds
            yield job.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _read(place: int, sound: Sound, files: Files, sample_rate: int) -> Heard:
    try:
        path, sha256 = files.fetch(sound)
        with audio.read_blocks(path, sample_rate=sample_rate) as stream:
            if sound.start == 0 and _is_whole(sound, stream.source.seconds, path):
                if sound.seconds > LONG_SECONDS:
                    return Heard(place, sha256, None, None)
                waveform = np.concatenate(list(stream))[None]
                rate, channels = stream.source.sample_rate, stream.source.num_channels
                source = Source(rate, stream.source_num_samples, channels)
                return Heard(place, sha256, waveform, source)
        start = round(sound.start * sample_rate)
        num_samples = max(round(sound.seconds * sample_rate), 1)
        part = audio.read_part(path, start, num_samples, sample_rate=sample_rate).waveform
        return Heard(place, sha256, part, None)
    except (VqaudioError, OSError) as error:
        return Heard(place, "", None, None, files.name_in(str(error), sound))


def _is_whole(sound: Sound, available: float | None, path: str) -> bool:
    """Whether a recording that starts with its file is all of it; `available` as its header says,
    and where that says nothing it is decoded to know.
    """
    if available is None:
        with audio.read_blocks(path) as stream:
            available = sum(map(len, stream)) / stream.sample_rate
    return sound.seconds > available - 0.001


def _batched(tokenizer: Tokenizer, heard: Iterator[Heard]) -> Iterator[list[Heard]]:
    """As many as fill a few batches of pieces; one by one where pieces share none."""
    if tokenizer.pieces_at_once == 1:
        yield from ([one] for one in heard)
        return
    wanted = BATCHES_AHEAD * tokenizer.pieces_at_once
    batch: list[Heard] = []
    pieces = 0.0
    for one in heard:
        batch.append(one)
        if one.waveform is not None:
            pieces += max(one.waveform.shape[1] / tokenizer.sample_rate / PIECE_SECONDS, 1)
        if pieces >= wanted:
            yield batch
            batch, pieces = [], 0.0
    if batch:
        yield batch


def _encode(
    tokenizer: Tokenizer,
    batch: Sequence[Heard],
    sounds: Sequence[Sound],
    files: Files,
    num_codebooks: int,
) -> Iterator[tuple[Heard, Tokens | str]]:
    """Each with its tokens, or the reason why it has none."""
    short = [heard for heard in batch if heard.waveform is not None]
    waveforms = [heard.waveform for heard in short if heard.waveform is not None]
    encoded = tokenizer.encode_batch(waveforms, num_codebooks=num_codebooks)
    for heard, tokens in zip(short, encoded, strict=True):
        yield heard, tokens if heard.source is None else replace(tokens, source=heard.source)
    for heard in batch:
        if heard.fault:
            yield heard, heard.fault
        elif heard.waveform is None:
            yield heard, _encode_long(tokenizer, sounds[heard.place], files, num_codebooks)


def _encode_long(
    tokenizer: Tokenizer, sound: Sound, files: Files, num_codebooks: int
) -> Tokens | str:
    path, _ = files.fetch(sound)
    try:
        return tokenizer.encode_file(path, num_codebooks=num_codebooks)
    except (VqaudioError, OSError) as error:
        return files.name_in(str(error), sound)
