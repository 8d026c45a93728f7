"""Everything vqaudio raises on purpose.

    VqaudioError
    ├── AudioError      a sound cannot be read, written or used
    ├── TokensError     a token file is damaged, or belongs to another model
    ├── ModelError      a model cannot be found or read
    ├── RecipeError     a recipe says something that cannot be done
    ├── MissingError    a library, program or file of others is not on this machine
    ├── CorpusError     a corpus is missing, incomplete or cannot be fetched
    └── TrainingError   a run cannot start, continue or be resumed

Each message is one sentence that says what came and what to do. The command line prints it and
exits with 1. An error that is none of these is a defect of vqaudio.
"""

from __future__ import annotations


class VqaudioError(Exception):
    """The base of all errors that vqaudio raises on purpose."""


class AudioError(VqaudioError):
    """A sound cannot be read, written or used."""


class TokensError(VqaudioError):
    """A token file is damaged, or its tokens belong to another model."""


class ModelError(VqaudioError):
    """A model cannot be found or read."""


class MissingError(VqaudioError):
    """A library, program or file of others is not on this machine; it says how to get it."""


class RecipeError(VqaudioError):
    """A recipe says something that cannot be done."""


class CorpusError(VqaudioError):
    """A corpus is missing, incomplete or cannot be fetched."""


class TrainingError(VqaudioError):
    """A run cannot start, continue or be resumed."""
