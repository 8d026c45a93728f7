"""One task put to one encoder: tokens beside log-mel frames, small probes, several seeds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vqaudio.corpora import CORPORA
from vqaudio.errors import CorpusError, VqaudioError
from vqaudio.metrics import bootstrap_interval
from vqaudio.probes.frames import Encoder, Frames, normalise, read_frames
from vqaudio.probes.heads import HEADS
from vqaudio.probes.learning import CROP_SECONDS, answer, learn
from vqaudio.probes.results import ProbeResult, Score
from vqaudio.probes.tasks import TASKS, Fold, Recording, Task

SEEDS = (0, 1, 2)
REPRESENTATIONS = ("log-mel", "tokens")


def probe(
    encoder: Encoder,
    task: str | Task,
    root: Path,
    *,
    levels: int | None = None,
    limit: int | None = None,
) -> ProbeResult:
    """How much of what `task` asks can be read from the encoder's tokens.

    `task` is one of TASKS by name, or a task of your own. Its corpus lies below `root`. `levels`
    takes the first levels of the tokens only; `limit` so many recordings, spread evenly over
    labels and speakers. The same call gives the same figures, with as many threads.

    Raises VqaudioError for a task or levels that there are not, CorpusError when the corpus is not
    there or has too few recordings, AudioError when one cannot be read.
    """
    began = time.monotonic()
    name = task if isinstance(task, str) else "own task"
    if isinstance(task, str):
        if task not in TASKS:
            raise VqaudioError(f"there is no task {task!r}: choose from {', '.join(TASKS)}")
        task = TASKS[task]
    recordings = find_recordings(task, root, limit=limit)
    labels = sorted({recording.label for recording in recordings})
    folds = task.folds(recordings)
    _check(task, recordings, labels, folds)
    targets = [labels.index(recording.label) for recording in recordings]
    utterances = [recording.utterance for recording in recordings]
    frames = read_frames(encoder, utterances, levels=levels)
    units = _units(task, recordings, folds)
    scores = [
        _score(representation, head, frames, targets, folds, units)
        for representation in REPRESENTATIONS
        for head in HEADS
    ]
    return ProbeResult(
        task=name,
        about=task.about,
        encoder=repr(encoder),
        num_levels=frames.num_levels,
        frame_rate=frames.frame_rate,
        num_recordings=len(recordings),
        num_speakers=len({utterance.speaker for utterance in utterances}),
        num_classes=len(labels),
        num_folds=len(folds),
        num_train=round(sum(len(fold.train) for fold in folds) / len(folds)),
        num_test=sum(len(fold.test) for fold in folds),
        unit="speakers" if task.new_speakers else "recordings",
        num_units=len(units),
        chance=_chance(targets, units),
        scores=tuple(scores),
        seconds=time.monotonic() - began,
    )


def find_recordings(task: Task, root: Path, *, limit: int | None = None) -> list[Recording]:
    """What there is of a task below `root`, in the order of its corpus.

    Raises CorpusError when the corpus is not there.
    """
    corpus = CORPORA[task.corpus]
    found = [
        Recording(utterance, split, label)
        for split in task.splits
        for utterance in corpus.utterances(root, split)
        if (label := task.label(utterance)) is not None
    ]
    if limit is None or limit >= len(found):
        return found
    # At even distances in an order by label and speaker, each keeps about its share.
    order = sorted(
        range(len(found)), key=lambda place: (found[place].label, found[place].utterance.speaker)
    )
    kept = sorted(order[index * len(found) // limit] for index in range(limit))
    return [found[place] for place in kept]


Unit = list[int]
"""Places of what one accuracy is the mean of, and is redrawn as one: all tested recordings of a
speaker, or a single one."""


def _units(task: Task, recordings: Sequence[Recording], folds: Sequence[Fold]) -> list[Unit]:
    tested = sorted(place for fold in folds for place in fold.test)
    if not task.new_speakers:
        return [[place] for place in tested]
    speakers: dict[str, list[int]] = {}
    for place in tested:
        speakers.setdefault(recordings[place].utterance.speaker, []).append(place)
    return list(speakers.values())


def _score(
    representation: str,
    head: str,
    frames: Frames,
    targets: Sequence[int],
    folds: Sequence[Fold],
    units: Sequence[Unit],
) -> Score:
    """Train and test a probe for each seed and fold."""
    right = np.zeros((len(SEEDS), len(targets)))
    for fold in folds:
        tokens = representation == "tokens"
        items = frames.codes if tokens else normalise(frames.mel, fold.train)
        for row, seed in zip(right, SEEDS, strict=True):
            trained = learn(
                [items[place] for place in fold.train],
                [targets[place] for place in fold.train],
                head=head,
                num_classes=max(targets) + 1,
                num_codes=frames.num_codes if tokens else None,
                crop=max(round(CROP_SECONDS * frames.frame_rate), 1),
                seed=seed,
            )
            answers = answer(trained, [items[place] for place in fold.test])
            for place, found in zip(fold.test, answers, strict=True):
                row[place] = found == targets[place]
    by_seed = [[float(row[unit].mean()) for unit in units] for row in right]
    means: list[float] = np.mean(by_seed, axis=0).tolist()
    seeds = tuple(float(np.mean(row)) for row in by_seed)
    return Score(representation, head, bootstrap_interval(means), seeds)


def _chance(targets: Sequence[int], units: Sequence[Unit]) -> float:
    """Of the label that is right most often, counted as accuracies are."""
    shares = np.zeros(max(targets) + 1)
    for unit in units:
        for place in unit:
            shares[targets[place]] += 1 / len(unit) / len(units)
    return float(shares.max())


def _check(
    task: Task, recordings: Sequence[Recording], labels: Sequence[str], folds: Sequence[Fold]
) -> None:
    """Raises CorpusError where nothing can be learned or tested."""
    if len(labels) < 2:
        raise CorpusError(
            f"the recordings of {task.corpus} have {len(labels)} label"
            f"{'' if labels else 's'}{f' ({labels[0]})' if labels else ''}: a probe needs two or "
            "more to tell apart; take more recordings, or another task."
        )
    for fold in folds:
        heard = {recordings[place].label for place in fold.train}
        unheard = {recordings[place].label for place in fold.test} - heard
        if unheard or not fold.test:
            reason = f"none of {min(unheard)} to learn from" if unheard else "none to test"
            raise CorpusError(
                f"{len(recordings)} recordings of {task.corpus} are too few: there is {reason}; "
                "take more recordings."
            )
        speakers = {recordings[place].utterance.speaker for place in fold.train}
        again = speakers & {recordings[place].utterance.speaker for place in fold.test}
        assert not (task.new_speakers and again), again
