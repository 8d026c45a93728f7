"""Lists of recordings that people already have; `root` is the manifest itself.

    name.txt, .lst, .list      a path per line
    name.jsonl, .json          NeMo: {"audio_filepath": ..., "offset": 1.5, "duration": 2.25,
                               "text": ..., "speaker": ..., "lang": ...} per line; only the path
                               must be there
    name.jsonl, .jsonl.gz      Lhotse cuts, read by the library lhotse
    a folder with wav.scp      Kaldi, with segments, utt2spk and text where they are there

Relative paths start at the folder of the manifest or, where nothing is there, at the working
folder. Speakers are held out for validation as in any folder; where the manifest names none, each
file counts as a speaker of its own, and validation may hear a voice that training knows. The split
"all" is the whole manifest: name one for `train` and another for `validation`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vqaudio.corpora.kaldi import read_kaldi
from vqaudio.corpora.lengths import LISTING
from vqaudio.corpora.lhotse_cuts import read_lhotse
from vqaudio.corpora.rows import Faults, Row, locate, read_lines, select_utterances
from vqaudio.corpora.splitting import SPLITS, check_split
from vqaudio.corpora.utterance import About, Utterance
from vqaudio.errors import CorpusError

__all__ = ["ABOUT", "SPLITS", "download", "read_nemo", "to_fetch", "utterances"]

ABOUT = About("your list of files: text, NeMo, Kaldi or Lhotse")


def to_fetch(root: Path, splits: Sequence[str]) -> int:
    """Nothing. Raises CorpusError for an unknown split."""
    for split in splits:
        check_split("manifest", split)
    return 0


def download(root: Path, splits: Sequence[str]) -> None:
    """Check that the manifest exists: there is nothing to fetch.

    Raises CorpusError for an unknown split, or when `root` is no manifest.
    """
    to_fetch(root, splits)
    _reader(root)


def utterances(root: Path, split: str, *, faults: Faults | None = None) -> list[Utterance]:
    """The utterances of one split, in the order of the manifest.

    With `faults`, rows whose recording cannot be had are left out and noted there.

    Raises CorpusError, with the number of the line, for whatever is wrong in it: a file that is
    missing or no sound, a segment that is not within its file, a line that cannot be understood.
    """
    download(root, [split])
    rows = _reader(root)(root)
    if not rows:
        raise CorpusError(f"{root} lists no recording: name another manifest.")
    listing = root / LISTING if root.is_dir() else root.with_name(f".{root.name}{LISTING}")
    return select_utterances(rows, listing, split, faults=faults)


def _reader(root: Path) -> Callable[[Path], list[Row]]:
    """Raises CorpusError when `root` is not there, or has a suffix of no manifest."""
    if root.is_dir() and (root / "wav.scp").exists():
        return read_kaldi
    if not root.is_file():
        raise CorpusError(
            f"{root} is no manifest: name a .txt, .jsonl or .jsonl.gz file, or a Kaldi data folder "
            "with a wav.scp."
        )
    if root.name == "wav.scp":
        return lambda path: read_kaldi(path.parent)
    if root.suffix in (".txt", ".lst", ".list"):
        return _read_list
    if root.name.endswith((".jsonl", ".json", ".jsonl.gz", ".json.gz")):
        return read_lhotse if _has_cuts(root) else read_nemo
    raise CorpusError(
        f"{root} has a suffix that no manifest has: call a list of paths .txt, NeMo's or Lhotse's "
        "lines .jsonl or .jsonl.gz."
    )


def _read_list(path: Path) -> list[Row]:
    return [
        Row(f"{path}, line {number}", locate(path.parent, line))
        for number, line in read_lines(path)
    ]


def _has_cuts(path: Path) -> bool:
    """Whether the first line is a Lhotse cut."""
    for number, line in read_lines(path):
        try:
            return _has_cut(_entry(f"{path}, line {number}", line))
        except CorpusError:
            return False  # the reader says what is wrong
    return False


def _has_cut(entry: dict[str, Any]) -> bool:
    return "audio_filepath" not in entry and (
        str(entry.get("type")).endswith("Cut") or "recording" in entry
    )


def read_nemo(path: Path) -> list[Row]:
    """The lines of a NeMo manifest. Raises CorpusError, with the number of the line."""
    rows = []
    for number, line in read_lines(path):
        where = f"{path}, line {number}"
        entry = _entry(where, line)
        name = entry.get("audio_filepath")
        if not isinstance(name, str) or not name:
            raise CorpusError(f'{where} has no "audio_filepath": give the path of one sound file.')
        speaker, text = entry.get("speaker"), entry.get("text")
        language = entry.get("lang") or entry.get("language")
        rows.append(
            Row(
                where,
                locate(path.parent, name),
                start=_number(where, entry, "offset") or 0.0,
                seconds=_number(where, entry, "duration"),
                speaker=None if speaker is None else str(speaker),
                text=str(text) if text else None,
                language=str(language) if language else None,
            )
        )
    return rows


def _entry(where: str, line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise CorpusError(
            f"{where} is no JSON ({error}): each line of the manifest must be one whole object."
        ) from None
    if not isinstance(entry, dict):
        raise CorpusError(f"{where} is no JSON object: each line must be one, in {{ }}.")
    return entry


def _number(where: str, entry: dict[str, Any], key: str) -> float | None:
    value = entry.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise CorpusError(f'{where}: "{key}" is {value!r}: give a number of seconds.')
    return float(value)
