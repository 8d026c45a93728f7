"""One recording through every system, and what each metric says of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vqaudio.errors import AudioError
from vqaudio.evaluate.recordings import Recording, read_recording
from vqaudio.evaluate.results import FileResult
from vqaudio.metrics import METRICS, Recognizer, find_recognizer, word_errors
from vqaudio.systems import System, find_system
from vqaudio.systems.system import Transmission, Waveform

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
    threads: int | None
    """Of torch in this process; None leaves them."""


class Measured(NamedTuple):
    """What there is to know of one recording."""

    rows: tuple[FileResult, ...]
    """One a system."""
    counts: Mapping[str, tuple[NDArray[np.int64], ...]]
    """For each system with codes: [K] of each level, how often each code occurred."""
    fault: str = ""
    """Why the recording cannot be read; there are no rows then."""


def measure(task: Task, recordings: Sequence[Recording]) -> list[Measured]:
    """Each of `recordings` through every system; our own models take them in one batch."""
    systems = _systems(task)
    waveforms: list[Waveform | None] = []
    faults: list[str] = []
    for recording in recordings:
        try:
            waveforms.append(read_recording(recording, task.sample_rate))
            faults.append("")
        except AudioError as error:
            waveforms.append(None)
            faults.append(str(error))
    readable = [waveform for waveform in waveforms if waveform is not None]
    sent = {system.name: iter(transmit(system, readable, task.sample_rate)) for system in systems}
    return [
        Measured((), {}, fault)
        if waveform is None
        else _measure_one(task, recording, waveform, {name: next(t) for name, t in sent.items()})
        for recording, waveform, fault in zip(recordings, waveforms, faults, strict=True)
    ]


def transmit(system: System, waveforms: Sequence[Waveform], sample_rate: int) -> list[Transmission]:
    """Each waveform through one system, in one batch where it can."""
    system.prepare(waveforms, sample_rate)
    return [system.transmit(waveform, sample_rate) for waveform in waveforms]


def _measure_one(
    task: Task,
    recording: Recording,
    waveform: Waveform,
    transmissions: Mapping[str, Transmission],
) -> Measured:
    rows, counts = [], {}
    for system in _systems(task):
        transmission = transmissions[system.name]
        scores = {
            name: score(name, waveform, transmission.waveform, task.sample_rate)
            for name in task.metrics
        }
        words = 0
        if task.recognizer is not None and recording.utterance.text:
            heard = recognizer_of(task.recognizer).transcribe(
                transmission.waveform, task.sample_rate
            )
            found = word_errors(recording.utterance.text, heard)
            words = found.words
            scores[WORD_ERROR_RATE] = found.errors / words if words else None
        rows.append(
            FileResult(
                file=recording.name,
                speaker=recording.utterance.speaker,
                seconds=len(waveform) / task.sample_rate,
                system=system.name,
                num_bits=transmission.num_bits,
                encode_seconds=transmission.encode_seconds,
                decode_seconds=transmission.decode_seconds,
                scores=scores,
                words=words,
            )
        )
        if transmission.codes is not None:
            counts[system.name] = count_codes(transmission.codes, system.codebook_sizes)
    return Measured(tuple(rows), counts)


def score(name: str, reference: Waveform, decoded: Waveform, sample_rate: int) -> float | None:
    """One metric of METRICS; None for no value, and for one that is not finite."""
    value = METRICS[name].compute(reference, decoded, sample_rate)
    return float(value) if math.isfinite(value) else None


def count_codes(
    codes: NDArray[Any], codebook_sizes: Sequence[int]
) -> tuple[NDArray[np.int64], ...]:
    """[Q, T] -> for each level [K], how often each code occurs."""
    return tuple(
        np.bincount(level.astype(np.int64), minlength=size)
        for level, size in zip(codes, codebook_sizes, strict=True)
    )


@lru_cache(maxsize=1)
def _systems(task: Task) -> list[System]:
    """Made once a process: models take a while to load."""
    if task.threads is not None:
        import torch

        torch.set_num_threads(task.threads)
    return [
        find_system(name, sample_rate=task.sample_rate, device=task.device) for name in task.systems
    ]


@lru_cache(maxsize=1)
def recognizer_of(spec: str) -> Recognizer:
    """Made once a process. Raises VqaudioError for one that is not there."""
    return find_recognizer(spec)
