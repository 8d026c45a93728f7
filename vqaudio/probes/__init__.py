"""Are a tokenizer's tokens any use to a model that reads them? Small models are asked.

tasks      what is asked: digits, speakers, languages, ...; who is held out
frames     what is looked at: codes, and log-mel frames beside them
heads      the probes: linear, and two convolutions
learning   how they learn
probing    a task from recordings to accuracies
results    accuracies with intervals, as text and as JSON

In the spirit of DASB (Mousavi et al. 2024, arXiv:2406.14294): the tokens stay as they are, and a
probe that knows nothing of the tokenizer learns what they mean.
"""

from vqaudio.probes.frames import Coded, Encoder
from vqaudio.probes.probing import find_recordings, probe
from vqaudio.probes.results import ProbeResult, Score, facts, lines
from vqaudio.probes.tasks import TASKS, Fold, Recording, Task

__all__ = [
    "TASKS",
    "Coded",
    "Encoder",
    "Fold",
    "ProbeResult",
    "Recording",
    "Score",
    "Task",
    "facts",
    "find_recordings",
    "lines",
    "probe",
]
