"""Kaldi's data folders: `wav.scp`, and where they are there `segments`, `utt2spk` and others."""

from __future__ import annotations

from pathlib import Path

from vqaudio.corpora.rows import Row, locate, read_lines
from vqaudio.errors import CorpusError


def read_kaldi(folder: Path, *, base: Path | None = None) -> list[Row]:
    """The utterances of a data folder, in the order of `segments` or else of `wav.scp`.

    Relative paths start at `base`; without it at the data folder or, if nothing is there, at the
    working folder, as in Kaldi itself.

    Raises CorpusError when a line cannot be understood, or names a command in place of a file.
    """
    scp = folder / "wav.scp"
    recordings = {
        name: (line, _locate(scp, line, entry, base)) for name, (line, entry) in _table(scp).items()
    }
    speakers, texts, languages = (
        _optional(folder / name) for name in ("utt2spk", "text", "utt2lang")
    )

    def describe(name: str, row: Row) -> Row:
        return row._replace(
            speaker=speakers.get(name), text=texts.get(name), language=languages.get(name)
        )

    segments = folder / "segments"
    rows = []
    if not segments.exists():
        for name, (line, path) in recordings.items():
            rows.append(describe(name, Row(f"{scp}, line {line}", path)))
        return rows
    for name, (line, entry) in _table(segments).items():
        where = f"{segments}, line {line}"
        recording, start, end = _segment(where, entry)
        if recording not in recordings:
            raise CorpusError(f"{where}: {scp} has no recording {recording}: add it, or remove it.")
        seconds = None if end < 0 else end - start  # -1: to the end of the recording
        rows.append(describe(name, Row(where, recordings[recording][1], start, seconds)))
    return rows


def _table(path: Path) -> dict[str, tuple[int, str]]:
    """First word of a line -> number of the line, and the rest of it."""
    table: dict[str, tuple[int, str]] = {}
    for number, line in read_lines(path):
        name, *rest = line.split(maxsplit=1)
        if name in table:
            raise CorpusError(f"{path}, line {number}: {name} is there twice: remove one.")
        table[name] = (number, rest[0] if rest else "")
    return table


def _optional(path: Path) -> dict[str, str]:
    """As `_table`, without numbers and empty entries; a file that is not there has none."""
    table = _table(path) if path.exists() else {}
    return {name: entry for name, (_, entry) in table.items() if entry}


def _locate(scp: Path, line: int, entry: str, base: Path | None) -> Path:
    where = f"{scp}, line {line}"
    if entry.endswith("|"):
        raise CorpusError(
            f"{where} is a command ({entry}), and vqaudio runs none that stand in a file: write "
            "the sounds to files first (Kaldi: wav-copy), and list those."
        )
    if not entry:
        raise CorpusError(f"{where} names no file: a line is `<recording> <path>`.")
    return locate(scp.parent, entry) if base is None else base / entry


def _segment(where: str, entry: str) -> tuple[str, float, float]:
    """Recording, start and end in seconds."""
    try:
        recording, start, end = entry.split()
        return recording, float(start), float(end)
    except ValueError:
        raise CorpusError(
            f"{where}: got `{entry}` after the name, a line is `<utterance> <recording> <start> "
            "<end>`, with times in seconds."
        ) from None
