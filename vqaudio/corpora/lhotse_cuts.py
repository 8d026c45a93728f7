"""Lhotse's cuts, read by the library itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vqaudio.corpora.rows import Row, locate
from vqaudio.errors import CorpusError


def read_lhotse(path: Path) -> list[Row]:
    """The cuts of a .jsonl or .jsonl.gz, in their order.

    Raises CorpusError when lhotse is not installed or cannot read a cut, and for cuts that are
    more than a part of one file of one channel by one speaker.
    """
    try:
        from lhotse import CutSet
    except ImportError:
        raise CorpusError(f"reading {path} needs lhotse: pip install 'vqaudio[lhotse]'.") from None
    rows: list[Row] = []
    try:
        for cut in CutSet.from_file(path):
            rows.append(_row(f"{path}, cut {len(rows) + 1}", cut, path.parent))
    except (AssertionError, AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise CorpusError(
            f"{path}, cut {len(rows) + 1}: lhotse cannot read it ({reason}): give a manifest of "
            "cuts, as CutSet.to_file writes it."
        ) from None
    return rows


def _row(where: str, cut: Any, folder: Path) -> Row:
    if type(cut).__name__ != "MonoCut":
        raise CorpusError(
            f"{where} is a {type(cut).__name__}, and only a MonoCut is a part of one recording: "
            "save the audio (CutSet.save_audios) and take those cuts."
        )
    recording = cut.recording
    sources = [] if recording is None else recording.sources
    if len(sources) != 1 or sources[0].type != "file" or recording.transforms:
        raise CorpusError(
            f"{where} has no audio of one file as it is: save the audio (CutSet.save_audios) and "
            "take those cuts."
        )
    if len(recording.channel_ids) != 1:
        raise CorpusError(
            f"{where} is one of the {len(recording.channel_ids)} channels of its file: save the "
            "audio (CutSet.save_audios) and take those cuts."
        )
    speakers = {s.speaker for s in cut.supervisions if s.speaker is not None}
    if len(speakers) > 1:
        raise CorpusError(
            f"{where} has {len(speakers)} speakers: cut it by speaker first "
            "(CutSet.trim_to_supervisions)."
        )
    text = " ".join(s.text for s in cut.supervisions if s.text)
    languages = {s.language for s in cut.supervisions if s.language}
    return Row(
        where,
        locate(folder, str(sources[0].source)),
        start=cut.start,
        seconds=cut.duration,
        speaker=next(iter(speakers), None),
        text=text or None,
        language=next(iter(languages)) if len(languages) == 1 else None,
    )
