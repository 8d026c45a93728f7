"""One recording through every system, and what each metric says of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vqaudio.corpora.recordings import Recording, read_recording
from vqaudio.entropy import count
from vqaudio.errors import AudioError, VqaudioError
from vqaudio.evaluate.results import FileResult
from vqaudio.metrics import METRICS, Recognizer, find_recognizer, word_errors
from vqaudio.systems import System, find_system
from vqaudio.systems.system import Transmission, Waveform
from vqaudio.threads import one_thread

WORD_ERROR_RATE = "wer"
"""A metric of its own kind: it needs a text and a recogniser."""


class Task(NamedTuple):
    """What to do with every recording; small, so that it can be sent to another process."""

    systems: tuple[str, ...]
    """Those that are there, as they are asked for."""
    metrics: tuple[str, ...]
    """Those that are installed."""
    recognizer: str | None
    sample_rate: int
    """Hz."""
    device: str


class Measured(NamedTuple):
    """What there is to know of one recording."""

    rows: tuple[FileResult, ...]
    """One a system."""
    counts: Mapping[str, tuple[NDArray[np.int64], ...]]
    """For each system with codes: [K] of each level, how often each code occurred."""
    fault: str = ""
    """Why the recording cannot be read; there are no rows then."""


def measure(task: Task, recordings: Sequence[Recording]) -> list[Measured]:
    """Each of `recordings` through every system; our own models take them in one batch.

    With one thread: the same codes on every machine, and speeds that can be compared.
    """
    with one_thread():
        waveforms = [_read(recording, task.sample_rate) for recording in recordings]
        readable = [waveform for waveform in waveforms if not isinstance(waveform, str)]
        sent = {
            system.name: iter(transmit_all(system, readable, task.sample_rate))
            for system in _systems(task)
        }
        return [
            Measured((), {}, waveform)
            if isinstance(waveform, str)
            else _measure_one(task, recording, waveform, {n: next(t) for n, t in sent.items()})
            for recording, waveform in zip(recordings, waveforms, strict=True)
        ]


def transmit_all(
    system: System, waveforms: Sequence[Waveform], sample_rate: int
) -> Iterator[Transmission | str]:
    """Each waveform through one system, or why it could not be carried."""
    with suppress(VqaudioError):  # which one it is, each by itself tells below
        system.prepare(waveforms, sample_rate)
    for waveform in waveforms:
        try:
            yield system.transmit(waveform, sample_rate)
        except VqaudioError as error:
            yield str(error)


def _read(recording: Recording, sample_rate: int) -> Waveform | str:
    """[S], or why it cannot be read."""
    try:
        return read_recording(recording, sample_rate)
    except AudioError as error:
        return str(error)


def _measure_one(
    task: Task,
    recording: Recording,
    waveform: Waveform,
    transmissions: Mapping[str, Transmission | str],
) -> Measured:
    rows, counts = [], {}
    for system in _systems(task):
        sent = transmissions[system.name]
        row = FileResult(
            file=recording.name,
            speaker=recording.utterance.speaker,
            seconds=len(waveform) / task.sample_rate,
            system=system.name,
            num_bits=0,
            encode_seconds=0.0,
            decode_seconds=0.0,
            scores={},
        )
        if isinstance(sent, str):
            rows.append(row.model_copy(update={"fault": sent}))
            continue
        scores = {
            name: score(name, waveform, sent.waveform, task.sample_rate) for name in task.metrics
        }
        words = 0
        if task.recognizer is not None and recording.utterance.text:
            heard = recognizer_of(task.recognizer).transcribe(sent.waveform, task.sample_rate)
            found = word_errors(recording.utterance.text, heard)
            words = found.words
            scores[WORD_ERROR_RATE] = found.errors / words if words else None
        figures = {
            "num_bits": sent.num_bits,
            "encode_seconds": sent.encode_seconds,
            "decode_seconds": sent.decode_seconds,
            "scores": scores,
            "words": words,
        }
        rows.append(row.model_copy(update=figures))
        if sent.codes is not None:
            counts[system.name] = count(sent.codes, system.codebook_sizes)
    return Measured(tuple(rows), counts)


def score(name: str, reference: Waveform, decoded: Waveform, sample_rate: int) -> float | None:
    """One metric of METRICS; None for no value, and for one that is not finite."""
    value = METRICS[name].compute(reference, decoded, sample_rate)
    return float(value) if math.isfinite(value) else None


@lru_cache(maxsize=1)
def _systems(task: Task) -> list[System]:
    """Made once a process: models take a while to load."""
    return [
        find_system(name, sample_rate=task.sample_rate, device=task.device) for name in task.systems
    ]


@lru_cache(maxsize=1)
def recognizer_of(spec: str) -> Recognizer:
    """Made once a process. Raises VqaudioError for one that is not there."""
    return find_recognizer(spec)
