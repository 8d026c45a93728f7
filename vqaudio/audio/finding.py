"""The audio files below a folder."""

from __future__ import annotations

import os
from pathlib import Path

from vqaudio.errors import AudioError

# libsndfile reads the first line, PyAV the second.
AUDIO_SUFFIXES = (
    *(".aif", ".aiff", ".au", ".caf", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".sph", ".w64"),
    *(".aac", ".amr", ".g722", ".m4a", ".mka", ".webm", ".wma"),
    ".wav",
)


def find_audio(folder: str | os.PathLike[str]) -> list[Path]:
    """All files below `folder` with a suffix of AUDIO_SUFFIXES (any case), sorted.

    Hidden files and folders (names that start with ".") are skipped; they hold half-written files
    and the bookkeeping of other programs. Links to folders are not followed.

    Raises:
        AudioError: `folder` is not a folder, or holds no audio file.
    """
    folder = Path(folder)
    if not folder.is_dir():
        state = "is a file" if folder.exists() else "does not exist"
        raise AudioError(f"{folder} {state}; name a folder that holds audio files")
    found: list[Path] = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(parent, name)
            for name in names
            if name.lower().endswith(AUDIO_SUFFIXES) and not name.startswith(".")
        ]
    if not found:
        allowed = ", ".join(sorted(AUDIO_SUFFIXES))
        raise AudioError(f"{folder} holds no audio file; the suffixes looked for are {allowed}")
    return sorted(found)
