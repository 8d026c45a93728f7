"""The weights of a model of the hub: from a folder, from the local cache, else from the network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vqaudio.errors import ModelError
from vqaudio.systems.system import MissingError

TIMEOUT = 5.0
"""Seconds until the network counts as absent."""


def find_weights(source: str, files: Sequence[str]) -> Path:
    """The folder that holds `files` of `source`: a folder, or a repository of the hub.

    Raises MissingError when they are neither here nor to be had.
    """
    folder = Path(source)
    if folder.is_dir():
        absent = [name for name in files if not (folder / name).is_file()]
        if absent:
            raise MissingError(f"{source} lacks {absent[0]}: give a folder with {', '.join(files)}")
        return folder
    try:
        from huggingface_hub import constants, hf_hub_download
    except ImportError:
        raise MissingError(
            f"{source} needs the libraries of its authors: pip install 'vqaudio[peers]'"
        ) from None
    try:
        found = [Path(hf_hub_download(source, f, local_files_only=True)) for f in files]
        return found[0].parent
    except (OSError, ValueError):  # not there; a name that no repository can have
        pass
    # The library tries again and again where there is no network: half a minute for each file.
    if constants.HF_HUB_OFFLINE or not _answers(constants.ENDPOINT):
        raise MissingError(
            f"the weights {source} are not on this machine and {constants.ENDPOINT} cannot be "
            "reached: put them into a folder and name it, as in NAME:FOLDER@RATE"
        )
    try:
        found = [Path(hf_hub_download(source, f, etag_timeout=TIMEOUT)) for f in files]
    except (OSError, ValueError) as error:
        raise MissingError(
            f"the weights {source} cannot be fetched: {_first_line(error)}"
        ) from None
    return found[0].parent


def load_transformers(name: str, folder: Path, device: str) -> Any:
    """The class `name` of transformers with the weights of `folder`, to evaluate.

    Raises MissingError without transformers, ModelError for weights of something else.
    """
    try:
        import transformers
    except ImportError:
        raise MissingError(f"{name} needs transformers: pip install 'vqaudio[peers]'") from None
    kind = getattr(transformers, name)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if config["model_type"] != kind.config_class.model_type:
            raise ValueError(f"it is of type {config['model_type']}")
        model, info = kind.from_pretrained(folder, local_files_only=True, output_loading_info=True)
    except (KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
        raise ModelError(f"{folder} holds no {name}: {_first_line(error)}") from error
    if info["missing_keys"] or info["mismatched_keys"]:
        first = sorted(map(str, info["missing_keys"] or info["mismatched_keys"]))[0]
        raise ModelError(f"{folder} does not hold all weights of {name}: {first} is missing")
    return to_device(model, device)


def to_device(model: Any, device: str) -> Any:
    """In evaluation mode; raises ModelError for no such device."""
    from vqaudio.tokenizer import find_device

    return model.eval().to(find_device(device))


def _answers(address: str) -> bool:
    """Whether a server says anything at all, through the proxy of the environment if any."""
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    try:
        with urlopen(Request(address, method="HEAD"), timeout=TIMEOUT):
            return True
    except HTTPError:
        return True
    except (OSError, ValueError):
        return False


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
