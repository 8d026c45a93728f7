"""What probes are asked: a corpus, a label for each recording, and who is held out.

    TASKS[name] -> Task
    Task.folds(recordings) -> Fold, ...     what to learn from and what to be tested on

A fold with new speakers asks for what all voices share; one with known speakers asks for the voice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from vqaudio.corpora import Utterance
from vqaudio.errors import CorpusError


class Recording(NamedTuple):
    """An utterance that has an answer."""

    utterance: Utterance
    split: str
    """Of the corpus."""
    label: str


class Fold(NamedTuple):
    """Places of recordings."""

    train: tuple[int, ...]
    test: tuple[int, ...]


Label = Callable[[Utterance], str | None]
"""The answer for a recording; None leaves it out of the task."""
Rule = Callable[[Sequence[Recording]], tuple[Fold, ...]]
"""How recordings are split."""


@dataclass(frozen=True)
class Task:
    """A question about recordings."""

    about: str
    """One line."""
    corpus: str
    """By its name in recipes."""
    splits: tuple[str, ...]
    """Of the corpus, all that are used."""
    label: Label
    folds: Rule
    new_speakers: bool
    """No speaker that is tested was heard in training; intervals are then over speakers."""


def official(test: str) -> Rule:
    """The split `test` of the corpus is tested, the others are learned from."""

    def folds(recordings: Sequence[Recording]) -> tuple[Fold, ...]:
        return (_fold([recording.split == test for recording in recordings]),)

    return folds


def new_speakers(num_folds: int, *, use: int | None = None) -> Rule:
    """Speakers are dealt to `num_folds` groups, each tested once; `use` takes the first ones only.

    Dealt in the order of their most frequent label, so that each group has speakers of each.
    """

    def folds(recordings: Sequence[Recording]) -> tuple[Fold, ...]:
        labels: dict[str, Counter[str]] = {}
        for recording in recordings:
            labels.setdefault(recording.utterance.speaker, Counter())[recording.label] += 1
        order = sorted(labels, key=lambda name: (_most_frequent(labels[name]), name))
        groups = [set(order[group::num_folds]) for group in range(num_folds)]
        return tuple(
            _fold([recording.utterance.speaker in group for recording in recordings])
            for group in groups[:use]
        )

    return folds


def new_sources(*sources: str) -> Rule:
    """The speakers whose names begin with a source are tested by those that do not, each in turn.

    Whoever heard the source in training may take its microphone for an answer.
    """

    def folds(recordings: Sequence[Recording]) -> tuple[Fold, ...]:
        return tuple(
            _fold([recording.utterance.speaker.startswith(source) for recording in recordings])
            for source in sources
        )

    return folds


def known_speakers(one_in: int) -> Rule:
    """The last of every `one_in` recordings of each speaker are tested, in one run at the end."""

    def folds(recordings: Sequence[Recording]) -> tuple[Fold, ...]:
        left = Counter(recording.utterance.speaker for recording in recordings)
        tested = {speaker: count // one_in for speaker, count in left.items()}
        chosen = []
        for recording in recordings:
            speaker = recording.utterance.speaker
            chosen.append(left[speaker] <= tested[speaker])
            left[speaker] -= 1
        return (_fold(chosen),)

    return folds


def _fold(tested: Sequence[bool]) -> Fold:
    return Fold(
        tuple(place for place, held in enumerate(tested) if not held),
        tuple(place for place, held in enumerate(tested) if held),
    )


def _most_frequent(counts: Counter[str]) -> str:
    return min(counts, key=lambda label: (-counts[label], label))


def _speaker(utterance: Utterance) -> str:
    return utterance.speaker


def _text(utterance: Utterance) -> str | None:
    return utterance.text


LANGUAGES = ("ca", "da", "fr", "ru")
"""In which two sources of debian-speech, one of words and one of sentences, have a voice each."""
MIN_SECONDS = 1.0
"""Of a clip whose language is asked: shorter ones are single syllables."""


def _language(utterance: Utterance) -> str | None:
    """Of the clips of debian-speech, whose speakers are named tuxpaint-fr, ktuberling-ru, ...

    klettres is left out: it spells letters.
    """
    source, _, language = utterance.speaker.partition("-")
    wanted = language in LANGUAGES and source != "klettres" and utterance.seconds >= MIN_SECONDS
    return language if wanted else None


CHILD_UNTIL = 15
"""Years; speechocean762 has nobody of 16 to 18."""


def _gender(utterance: Utterance) -> str | None:
    return _traits(_speechocean(utterance), "spk2gender").get(utterance.speaker)


def _age(utterance: Utterance) -> str | None:
    years = _traits(_speechocean(utterance), "spk2age").get(utterance.speaker)
    if years is None:
        return None
    return "child" if int(years) <= CHILD_UNTIL else "adult"


def _speechocean(utterance: Utterance) -> Path:
    """The corpus's folder, of .../WAVE/SPEAKER0001/000010011.WAV."""
    return utterance.path.parents[2]


@lru_cache
def _traits(folder: Path, name: str) -> dict[str, str]:
    """Speaker -> what is known, of the lists that speechocean762 has in both of its splits."""
    traits = {}
    for split in ("train", "test"):
        path = folder / split / name
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            raise CorpusError(f"{path} is missing: unpack the archive anew.") from None
        traits.update(dict(line.split() for line in lines if line.strip()))
    return traits


_OCEAN = ("speechocean762", ("train", "test"))
_MNIST = ("audiomnist", ("train", "validation", "test"))

TASKS: dict[str, Task] = {
    "digits": Task(
        "which of ten digits is said, by speakers never heard",
        *("fsdd", ("train", "test"), _text, new_speakers(3), True),
    ),
    "speakers": Task(
        "which of six speakers says a digit, official split",
        *("fsdd", ("train", "test"), _speaker, official("test"), False),
    ),
    "audiomnist-digits": Task(
        "which of ten digits is said, by speakers never heard, the authors' first split",
        *(*_MNIST, _text, official("test"), True),
    ),
    "audiomnist-speakers": Task(
        "which of 60 speakers says a digit", *(*_MNIST, _speaker, known_speakers(5), False)
    ),
    "keywords": Task(
        "which of six wake words is said, by speakers nobody knows",
        *("picovoice", ("all",), _text, new_speakers(5, use=1), True),
    ),
    "languages": Task(
        "Catalan, Danish, French or Russian, by voices and microphones never heard",
        *("debian-speech", ("train", "validation"), _language),
        *(new_sources("tuxpaint", "ktuberling"), True),
    ),
    "ocean-speakers": Task(
        "which of 250 speakers reads a sentence", *(*_OCEAN, _speaker, known_speakers(5), False)
    ),
    "gender": Task(
        "male or female, by speakers never heard, half of them children",
        *(*_OCEAN, _gender, official("test"), True),
    ),
    "age": Task(
        "child or adult, by speakers never heard", *(*_OCEAN, _age, official("test"), True)
    ),
    "readers": Task(
        "which of 40 readers of LibriSpeech dev-clean is heard",
        *("librispeech", ("dev-clean",), _speaker, known_speakers(5), False),
    ),
}
"""By the names that the shell gives."""
