"""Fixtures that several test files need."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import soundfile
from sounds import SAMPLE_RATE, babble

# The models of the tests are so small that threads mostly wait for each other: on two cores that
# are busy otherwise, minutes in place of seconds. Read when torch is imported; subprocesses too.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def speech_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """<speaker>/<n>.wav: six speakers, three takes of 2 s each, 16 kHz. Not to be written to."""
    folder = tmp_path_factory.mktemp("speech")
    for speaker in range(6):
        (folder / f"speaker{speaker}").mkdir()
        for take in range(3):
            sound = babble(speaker, take, seconds=2.0)
            soundfile.write(folder / f"speaker{speaker}" / f"{take}.wav", sound, SAMPLE_RATE)
    return folder
