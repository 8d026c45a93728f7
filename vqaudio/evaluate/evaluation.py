"""`evaluate`: a model and its peers on recordings that no training heard, from top to bottom."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vqaudio.corpora.recordings import (
    Recording,
    find_recordings,
    hash_of,
    left_out,
    read_recording,
)
from vqaudio.describe import describe_model
from vqaudio.devices import find_device
from vqaudio.errors import AudioError, MissingError, VqaudioError
from vqaudio.evaluate.journal import Journal
from vqaudio.evaluate.measuring import (
    WORD_ERROR_RATE,
    Measured,
    Task,
    measure,
    recognizer_of,
)
from vqaudio.evaluate.results import Evaluation, FileResult, MetricResult, SystemResult
from vqaudio.evaluate.summary import Totals, summarise
from vqaudio.metrics import METRICS, missing, word_errors
from vqaudio.systems import STANDARD, System, check, find_system, rate_of
from vqaudio.systems.own import find_encoder
from vqaudio.systems.system import Waveform

RESAMPLING = "soxr, high quality"
DEFAULT_RATE = 16000
"""Hz, where no model says another."""
CHECK_SECONDS = 10.0
"""Of speech that the identity check of a system listens to, at least where there is as much."""
LIBRARIES = (
    *("vqaudio", "torch", "torchaudio", "numpy", "scipy", "soundfile", "soxr", "librosa", "av"),
    *("transformers", "snac"),
)

Progress = Callable[[Iterable[tuple[int, Measured]], int], Iterable[tuple[int, Measured]]]
"""Wraps what is measured, of so many recordings, to show how far it is."""


class Question(NamedTuple):
    """What is to be evaluated, on what, and how."""

    data: Path
    """Folder of sound files, or manifest."""
    model: str | None = None
    """File or name of a model that is measured at 1, 2, 4, ... and all of its levels."""
    systems: tuple[str, ...] = STANDARD
    """Others, or with `model` None all."""
    metrics: tuple[str, ...] | None = None
    """Of METRICS; all without it."""
    recognizer: str | None = None
    """For word error rates; none without it."""
    limit: int | None = None
    """Of recordings, spread evenly over the data."""
    device: str = "auto"
    batch_size: int = 1
    """Recordings that our own models encode at once."""
    workers: int = 1
    """Processes, each with one thread; 1 is this process with as many as it has."""


def evaluate(
    question: Question,
    *,
    command: str = "",
    journal: Journal | None = None,
    progress: Progress = lambda measured, _: measured,
) -> Evaluation:
    """Measure the model at several bitrates, and its peers, on every recording.

    What is not installed is a row that says so. A recording that cannot be read is left out of
    all rows and named; a system that fails is marked. With a `journal` a stopped evaluation goes
    on from there; the caller removes it.

    Raises VqaudioError, its children for data or a model that is none.
    """
    device = str(find_device(question.device))
    sample_rate, own, facts = _own_systems(question, device)
    wanted = tuple(dict.fromkeys((*own, *question.systems)))
    recordings = find_recordings(question.data, limit=question.limit)
    systems, skipped = find_systems(wanted, sample_rate=sample_rate, device=device)
    metrics = _metrics(question, recordings)
    suspicions = _suspicions(systems, recordings, sample_rate)
    task = Task(
        systems=tuple(system.name for system in systems),
        metrics=tuple(m.name for m in metrics if m.status == "ok" and m.name in METRICS),
        recognizer=question.recognizer,
        sample_rate=sample_rate,
        device=device,
    )
    data_hash, versions = hash_of(recordings), _versions()
    heading = {
        "task": task,
        "data": data_hash,
        "systems": {system.name: system.about for system in systems},
        "versions": versions,
    }
    totals, files = Totals(), dict[int, tuple[FileResult, ...]]()
    faults = left_out(question.data)
    with journal or Journal() as kept:
        results = measure_all(task, recordings, question, kept, heading)
        for place, one in progress(results, len(recordings)):
            totals.add(one.counts)
            files[place] = one.rows
            if one.fault:
                faults[recordings[place].name] = one.fault
    heard = [recording for recording in recordings if recording.name not in faults]
    if not heard:
        raise AudioError(f"no file of {question.data} can be read: {next(iter(faults.values()))}")
    in_order = tuple(row for place in sorted(files) for row in files[place])
    rows = {row.name: row for row in skipped} | {
        system.name: summarise(
            system, in_order, totals.usage(system.name), suspicion=suspicions[system.name]
        )
        for system in systems
    }
    return Evaluation(
        command=command,
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        versions=versions,
        machine=f"{platform.machine()}, {platform.system()} {platform.release()}",
        data=str(question.data),
        data_hash=data_hash,
        num_files=len(heard),
        unreadable=faults,
        num_speakers=len({recording.utterance.speaker for recording in heard}),
        seconds=sum(row.seconds for row in in_order if row.system == systems[0].name),
        sample_rate=sample_rate,
        resampling=RESAMPLING,
        model=facts,
        metrics=metrics,
        systems=tuple(rows[name] for name in wanted),
        files=in_order,
    )


def measure_all(
    task: Task,
    recordings: Sequence[Recording],
    question: Question,
    journal: Journal,
    heading: Mapping[str, Any],
) -> Iterator[tuple[int, Measured]]:
    """Place and result of each recording: first what the journal has, then all others."""
    from joblib import Parallel, delayed

    known = journal.open(heading)
    places = [place for place in range(len(recordings)) if place not in known]
    yield from known.items()
    batches = [
        places[start : start + question.batch_size]
        for start in range(0, len(places), question.batch_size)
    ]
    jobs = (delayed(measure)(task, [recordings[place] for place in batch]) for batch in batches)
    results = Parallel(n_jobs=question.workers, return_as="generator")(jobs)
    for batch, result in zip(batches, results, strict=True):
        for place, one in zip(batch, result, strict=True):
            journal.add(place, one)
            yield place, one


def find_systems(
    names: Sequence[str], *, sample_rate: int, device: str
) -> tuple[list[System], list[SystemResult]]:
    """Those that are there, and a row for each that is not. Raises VqaudioError for no system."""
    systems, skipped = [], []
    for name in names:
        try:
            systems.append(find_system(name, sample_rate=sample_rate, device=device))
        except MissingError as error:
            row = SystemResult(
                name=name,
                label=name,
                family=name.partition("@")[0],
                status="skipped",
                reason=str(error),
            )
            skipped.append(row)
    if not systems:
        raise VqaudioError(f"none of {', '.join(names)} is on this machine: {skipped[0].reason}")
    return systems, skipped


def _own_systems(question: Question, device: str) -> tuple[int, tuple[str, ...], dict[str, Any]]:
    """The sample rate of all, the model's systems, and what there is to know of the model.

    Without a model the rate is the lowest of the systems that are models of ours, or 16 kHz.
    """
    if question.model is None:
        rates = [rate for name in question.systems if (rate := rate_of(name)) is not None]
        return min(rates, default=DEFAULT_RATE), (), {}
    model = find_encoder(question.model, device).tokenizer
    least, count = model.codec.min_codebooks, len(model.codec.codebook_sizes)
    levels = sorted({2**n for n in range(count.bit_length()) if least <= 2**n <= count} | {count})
    names = tuple(f"{question.model}@{model.codec.bitrate(n):g}" for n in levels)
    return model.sample_rate, names, {"name": question.model, **describe_model(model)}


def _metrics(question: Question, recordings: Sequence[Recording]) -> tuple[MetricResult, ...]:
    """Those asked for, with a reason where one cannot be had. Raises VqaudioError."""
    names = question.metrics
    unknown = sorted(set(names or ()) - set(METRICS))
    if unknown:
        raise VqaudioError(
            f"no metric {', '.join(map(repr, unknown))}: choose from {', '.join(METRICS)}"
        )
    results = []
    for name in METRICS if names is None else dict.fromkeys(names):
        metric, reason = METRICS[name], missing(name)
        results.append(
            MetricResult(
                name=name,
                label=metric.label,
                unit=metric.unit,
                direction=metric.direction,
                range=metric.range,
                source=metric.source,
                status="skipped" if reason else "ok",
                reason=reason,
            )
        )
    if question.recognizer is not None:
        # Library and weights are needed now, rather than after the first recording.
        word_errors("one", "one")
        recognizer_of(question.recognizer).transcribe(np.zeros(8000, np.float32), 16_000)
        texts = any(recording.utterance.text for recording in recordings)
        results.append(_word_error_rate(question.recognizer, texts=texts))
    return tuple(results)


def _word_error_rate(recognizer: str, *, texts: bool) -> MetricResult:
    return MetricResult(
        name=WORD_ERROR_RATE,
        label="Word error rate",
        unit="",
        direction="lower",
        range="0 and up",
        source=f"errors over words of all files, by the recogniser {recognizer}; compare with the "
        "unprocessed recordings, which it does not understand without errors either",
        status="ok" if texts else "skipped",
        reason="" if texts else "no recording has a text to compare with",
    )


def _suspicions(
    systems: Sequence[System], recordings: Sequence[Recording], sample_rate: int
) -> dict[str, str]:
    """For each system why its row may not be trusted, empty where nothing speaks against it.

    The adapters are checked, not the codecs: whether known speech arrives as it must at the
    highest rate, and in time, level and length at any.
    """
    waveforms: list[Waveform] = []
    for recording in recordings:
        if sum(len(waveform) for waveform in waveforms) >= CHECK_SECONDS * sample_rate:
            break
        with suppress(AudioError):
            waveforms.append(read_recording(recording, sample_rate))
    if not waveforms:
        return dict.fromkeys((system.name for system in systems), "")
    speech = np.concatenate(waveforms)
    return {system.name: _check(system, speech, sample_rate) for system in systems}


def _check(system: System, speech: Waveform, sample_rate: int) -> str:
    try:
        return check(system, speech, sample_rate)
    except VqaudioError as error:
        return str(error)


def _versions() -> dict[str, str]:
    """Of Python and of every library that may have had a part in the figures."""
    wanted = {*LIBRARIES, *(metric.needs for metric in METRICS.values() if metric.needs)}
    found = {"python": platform.python_version()}
    for name in sorted(wanted):
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found
