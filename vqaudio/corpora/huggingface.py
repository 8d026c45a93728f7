"""An audio dataset of Hugging Face; `root` is a folder from `save_to_disk`, or a name on the hub.

A dataset's own splits are taken where it has the ones that are asked for. One that has a single
split is divided: some speakers, or recordings where no column names a speaker, are held out for
validation as in any folder.

Sounds that lie in the dataset's tables are written to files once, as they are: below the folder,
in `.vqaudio/`, or for the hub below the cache of the library `datasets`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vqaudio.corpora.download import only_one
from vqaudio.corpora.lengths import LISTING
from vqaudio.corpora.manifest import read_nemo
from vqaudio.corpora.rows import select_utterances
from vqaudio.corpora.splitting import check_split
from vqaudio.corpora.utterance import About, Utterance
from vqaudio.errors import CorpusError
from vqaudio.files import atomic

SPLITS: tuple[str, ...] = ("train", "validation", "test", "all")
ABOUT = About("a Hugging Face audio dataset, saved in a folder or on the hub")

SPEAKER_COLUMNS = ("speaker", "speaker_id", "client_id", "spk_id")
TEXT_COLUMNS = ("text", "sentence", "transcription", "transcript", "normalized_text")
LANGUAGE_COLUMNS = ("language", "locale", "lang")


def to_fetch(root: Path, splits: Sequence[str]) -> int:
    """Nothing that is known before. Raises CorpusError for an unknown split."""
    for split in splits:
        check_split("huggingface", split, SPLITS)
    return 0


def download(root: Path, splits: Sequence[str]) -> None:
    """Bring the dataset to this machine, and its sounds to files; return at once if that is done.

    Raises CorpusError for an unknown split, when `datasets` is not installed, and when there is no
    such dataset or it has no sounds.
    """
    to_fetch(root, splits)
    folder = _folder(root)
    if _is_there(root, folder):
        return
    with only_one(folder):
        if _is_there(root, folder):
            return
        parts = _load(root)
        for name, part in parts.items():
            lines = [json.dumps(row, ensure_ascii=False) for row in _rows(part, folder / name)]
            with atomic(folder / f"{name}.jsonl") as temporary:
                temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        with atomic(folder / "splits.json") as temporary:
            temporary.write_text(json.dumps(list(parts)), encoding="utf-8")


def utterances(root: Path, split: str) -> list[Utterance]:
    """The utterances of one split, in the order of the dataset.

    Raises CorpusError when the split is unknown or the dataset has no such split, when `download`
    has not finished, or when a sound cannot be read.
    """
    check_split("huggingface", split, SPLITS)
    folder = _folder(root)
    try:
        names = json.loads((folder / "splits.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CorpusError(
            f"{root} has not been prepared: run vqaudio download huggingface {root}."
        ) from None
    if split == "all":
        return [utterance for name in names for utterance in _listed(folder, name, "all")]
    if split in names and len(names) > 1:
        return _listed(folder, split, "all")
    if len(names) == 1 and split in ("train", "validation"):
        return _listed(folder, names[0], split)
    choices = ("train", "validation") if len(names) == 1 else names
    raise CorpusError(f"{root} has no split {split!r}: choose from {', '.join(choices)}, all.")


def _listed(folder: Path, name: str, split: str) -> list[Utterance]:
    """Of the dataset's split `name`, what belongs to our `split`."""
    rows = read_nemo(folder / f"{name}.jsonl")
    listing = folder / f".{name}{LISTING}"
    return select_utterances(rows, listing, split, remedy=f"remove {folder} and start again")


def _is_there(root: Path, folder: Path) -> bool:
    """Whether the sounds are in files, and the dataset in a folder has not been saved since."""
    marker = folder / "splits.json"
    if not marker.exists():
        return False
    states = [
        path.stat().st_mtime_ns for path in (*root.glob("state.json"), *root.glob("*/state.json"))
    ]
    return marker.stat().st_mtime_ns > max(states, default=0)


def _folder(root: Path) -> Path:
    """Where the sounds go that lie in the dataset's tables."""
    if root.is_dir():
        return root / ".vqaudio"
    return Path(_datasets().config.HF_DATASETS_CACHE) / "vqaudio" / str(root).replace(":", "_")


def _datasets() -> Any:
    try:
        import datasets
    except ImportError:
        raise CorpusError(
            "a Hugging Face dataset needs the library datasets: pip install 'vqaudio[hf]'."
        ) from None
    return datasets


def _load(root: Path) -> dict[str, Any]:
    """The dataset's splits by name; one without splits is "all"."""
    datasets = _datasets()
    try:
        if root.is_dir():
            loaded = datasets.load_from_disk(str(root))
        else:
            name, _, configuration = str(root).partition(":")
            loaded = datasets.load_dataset(name, configuration or None)
    except Exception as error:  # whatever the library, or the network below it, has to say
        raise CorpusError(
            f"cannot load {root}: {error}; name a folder from save_to_disk, or a dataset on the "
            "hub as owner/name or owner/name:configuration."
        ) from None
    return dict(loaded) if isinstance(loaded, datasets.DatasetDict) else {"all": loaded}


def _rows(part: Any, folder: Path) -> Iterator[dict[str, object]]:
    """NeMo's lines for one split. Sounds that lie in the table are written below `folder`."""
    datasets = _datasets()
    columns = [name for name, kind in part.features.items() if isinstance(kind, datasets.Audio)]
    if not columns:
        raise CorpusError(
            f"the dataset has no column of sounds, only {', '.join(part.features)}: cast one to "
            "datasets.Audio, and save it again."
        )
    facts = {
        key: name
        for key, names in (
            ("speaker", SPEAKER_COLUMNS),
            ("text", TEXT_COLUMNS),
            ("lang", LANGUAGE_COLUMNS),
        )
        for name in [name for name in names if name in part.features][:1]
    }
    # Not decoded: datasets would want torchcodec for that, and we have a reader.
    part = part.select_columns([columns[0], *facts.values()])
    for index, entry in enumerate(part.cast_column(columns[0], datasets.Audio(decode=False))):
        row: dict[str, object] = {"audio_filepath": _sound(entry[columns[0]], folder, index)}
        for key, name in facts.items():
            if entry[name] is not None:
                row[key] = str(entry[name])
        yield row


def _sound(entry: dict[str, Any] | None, folder: Path, index: int) -> str:
    """The path of a sound, which is written to a file unless it is in one."""
    if entry is None or (entry["bytes"] is None and not entry["path"]):
        raise CorpusError(
            f"row {index} of the dataset, counted from 0, has no sound: filter it out, and save "
            "the dataset in a folder."
        )
    path = Path(entry["path"] or "")
    if entry["bytes"] is None:
        return str(path.absolute())
    target = folder.absolute() / f"{index:07d}{path.suffix or '.audio'}"
    with atomic(target) as temporary:
        temporary.write_bytes(entry["bytes"])
    return str(target)
