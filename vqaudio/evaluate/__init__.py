"""How good a tokenizer is: metrics, peers and intervals on recordings that it never heard."""

from vqaudio.corpora.recordings import Recording, find_recordings, read_recording
from vqaudio.evaluate.compare import Difference, difference_lines, differences
from vqaudio.evaluate.evaluation import Question, evaluate
from vqaudio.evaluate.journal import Journal
from vqaudio.evaluate.measuring import Measured, measure, transmit_all
from vqaudio.evaluate.results import (
    Evaluation,
    Figure,
    FileResult,
    LevelUsage,
    MetricResult,
    SystemResult,
)
from vqaudio.evaluate.usage import CorpusUsage, measure_usage, usage_lines

__all__ = [
    "CorpusUsage",
    "Difference",
    "Evaluation",
    "Figure",
    "FileResult",
    "Journal",
    "LevelUsage",
    "Measured",
    "MetricResult",
    "Question",
    "Recording",
    "SystemResult",
    "difference_lines",
    "differences",
    "evaluate",
    "find_recordings",
    "measure",
    "measure_usage",
    "read_recording",
    "transmit_all",
    "usage_lines",
]
