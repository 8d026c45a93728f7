"""Which recordings a report lets its readers hear, and their way through every system."""

from __future__ import annotations

from vqaudio.corpora.recordings import Recording, find_recordings, read_recording
from vqaudio.devices import find_device
from vqaudio.evaluate.evaluation import Question
from vqaudio.evaluate.measuring import transmit_all
from vqaudio.evaluate.results import Evaluation
from vqaudio.report.examples import Example, Take
from vqaudio.systems import find_system
from vqaudio.systems.finding import ORIGINAL

SECONDS = (2.0, 8.0)
"""Long enough to judge, short enough to carry; what is longer is cut."""


def choose_examples(evaluation: Evaluation, question: Question, count: int) -> list[Example]:
    """`count` recordings of as many speakers as can be, as they are and out of every system.

    Chosen by their places in the list, never by how they sound.

    Raises AudioError when one cannot be read any more.
    """
    recordings = [
        recording
        for recording in find_recordings(question.data, limit=question.limit)
        if recording.name not in evaluation.unreadable
    ]
    names = [row.name for row in evaluation.systems if row.status != "skipped"]
    device = str(find_device(question.device))
    systems = [
        find_system(name, sample_rate=evaluation.sample_rate, device=device) for name in names
    ]
    examples = []
    for recording in _spread(recordings, count):
        waveform = read_recording(recording, evaluation.sample_rate)
        waveform = waveform[: round(SECONDS[1] * evaluation.sample_rate)]
        takes = [Take(ORIGINAL, "Original", waveform)]
        for system in systems:
            if system.name != ORIGINAL:
                (sent,) = transmit_all(system, [waveform], evaluation.sample_rate)
                if not isinstance(sent, str):  # why not is in the table
                    takes.append(Take(system.name, system.label, sent.waveform))
        text = recording.utterance.text or ""
        examples.append(Example(recording.name, evaluation.sample_rate, tuple(takes), text))
    return examples


def _spread(recordings: list[Recording], count: int) -> list[Recording]:
    """One of each speaker first, spread evenly over the list; long enough ones where there are."""
    long_enough = [r for r in recordings if r.utterance.seconds >= SECONDS[0]] or recordings
    first_of = {r.utterance.speaker: r for r in reversed(long_enough)}
    firsts = [r for r in long_enough if first_of[r.utterance.speaker] is r]
    pool = firsts if len(firsts) >= count else long_enough
    count = min(count, len(pool))
    return [pool[place * len(pool) // count] for place in range(count)]
