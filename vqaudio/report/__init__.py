"""What an evaluation found, to be read, heard and passed on: one HTML page, JSON, CSV, Markdown."""

from vqaudio.report.choosing import choose_examples
from vqaudio.report.examples import Example, Take
from vqaudio.report.tables import lines, markdown_table
from vqaudio.report.writing import (
    rate_distortion_picture,
    read_evaluation,
    write_report,
    write_usage,
)

__all__ = [
    "Example",
    "Take",
    "choose_examples",
    "lines",
    "markdown_table",
    "rate_distortion_picture",
    "read_evaluation",
    "write_report",
    "write_usage",
]
