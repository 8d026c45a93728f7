"""Model files: one safetensors file, weights and everything needed to use them.

The header holds one JSON object under "vqaudio": format_version, config, fingerprint (of what
determines codes), checksum (of all weights) and card (what the training wants known: recipe, data,
steps, licence). No pickle; reading a model runs no code of its author.

Codebooks are stored as centroids. Counts and sums are the state of a training run; a model that
has been loaded starts with all codes equally used.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from vqaudio.codec import Codec, CodecConfig
from vqaudio.errors import ModelError
from vqaudio.files import atomic
from vqaudio.hub import PEER_PREFIX, fetch, is_repository

FORMAT_VERSION = 1

BUNDLED = Path(__file__).parent / "models"
DEFAULT_MODEL = "speech-16k"
MODEL_FILE = "model.safetensors"
"""In a run folder, and in a repository of the hub."""


class Model(NamedTuple):
    """A codec as it comes from a file, on CPU, in evaluation mode, float32."""

    codec: Codec
    fingerprint: str
    """16 hexadecimal digits of what determines codes; a new decoder leaves it as it is."""
    card: dict[str, Any]


def save_model(
    path: Path, codec: Codec, card: dict[str, Any], *, dtype: torch.dtype = torch.float32
) -> str:
    """Write `codec` to `path` in place of what is there; returns the fingerprint.

    `dtype` float16 halves the file. The fingerprint is of the weights as stored, so a float16
    file is another model than its float32 original: its codes may differ.
    """
    tensors = {
        name: tensor.detach().to("cpu", dtype).contiguous()
        for name, tensor in _weights(codec).items()
    }
    fingerprint = _fingerprint(codec.config, tensors)
    header = {
        "format_version": FORMAT_VERSION,
        "fingerprint": fingerprint,
        "checksum": _checksum(tensors),
        "config": codec.config.model_dump(mode="json"),
        "card": card,
    }
    with atomic(path) as temporary:
        # Not by safetensors' save_file, whose files only their owner may read.
        temporary.write_bytes(save(tensors, {"vqaudio": json.dumps(header)}))
    return fingerprint


def find_model(model: str | os.PathLike[str] | None = None) -> Model:
    """The model of a file, a run folder, a bundled name (None: the default) or the hub.

    Raises ModelError when there is none, MissingError when it cannot be fetched.
    """
    return load_model(find_model_file(model))


def find_model_file(model: str | os.PathLike[str] | None = None) -> Path:
    """Where `find_model` finds it; what is on this machine goes before the hub."""
    name = DEFAULT_MODEL if model is None else os.fspath(model)
    if name.startswith(PEER_PREFIX):
        raise ModelError(f"{name} is a codec of others: give a model of vqaudio here")
    bundled = BUNDLED / f"{name}.safetensors"
    if Path(name).name == name and os.path.exists(bundled):
        return bundled
    if (Path(name) / MODEL_FILE).exists():
        return Path(name) / MODEL_FILE
    if os.path.exists(name) or name.endswith(".safetensors"):
        return Path(name)
    # In a folder that is here, it is a file that is not: no name for the hub.
    if is_repository(name) and not Path(name).parent.is_dir():
        return fetch(name, [MODEL_FILE])[0]
    if not Path(name).suffix:
        names = ", ".join(sorted(file.stem for file in BUNDLED.glob("*.safetensors")))
        raise ModelError(
            f"there is no model {name!r}: choose a bundled one ({names}), or give the path of a "
            ".safetensors file, or user/model on the hub"
        )
    return Path(name)


def load_model(path: Path) -> Model:
    """Read a model file.

    Raises ModelError when it is missing, damaged, or no model of vqaudio.
    """
    header, tensors = _read(path)
    version = header.get("format_version")
    if version != FORMAT_VERSION:
        raise ModelError(
            f"{path} has model format {version}, this vqaudio reads {FORMAT_VERSION}: "
            "install the vqaudio it was written with, or a newer one."
        )
    if _checksum(tensors) != header.get("checksum"):
        raise ModelError(
            f"{path} is damaged: its weights are not those that were saved; get it again."
        )
    try:
        config = CodecConfig.model_validate_json(json.dumps(header["config"]))
        codec = Codec(config)
        tensors = {name: tensor.float() for name, tensor in tensors.items()}
        for index, book in enumerate(codec.quantizer.books):
            prefix = f"quantizer.codebooks.{index}."
            mine = [name for name in tensors if name.startswith(prefix)]
            stored = {name.removeprefix(prefix): tensors.pop(name) for name in mine}
            book.restore(stored)
            tensors |= {prefix + name: tensor for name, tensor in stored.items()}  # not taken
        missing, unexpected = codec.load_state_dict(tensors, strict=False)
        # The rest of a quantizer is the state of a training run: the file has the centroids.
        missing = [name for name in missing if not name.startswith("quantizer.")]
        if missing or unexpected:
            raise KeyError(*missing, *unexpected)
        fingerprint = _fingerprint(config, _weights(codec))
    except (KeyError, RuntimeError, ValidationError) as error:
        raise ModelError(
            f"{path} does not hold the weights that its header describes "
            f"({str(error).splitlines()[0]}): get the file again."
        ) from error
    if fingerprint != header.get("fingerprint"):
        raise ModelError(
            f"{path} has fingerprint {fingerprint}, its header says {header.get('fingerprint')}: "
            "the header was changed; get the file again."
        )
    return Model(codec.eval(), fingerprint, header.get("card", {}))


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = json.loads(metadata["vqaudio"])
        if not isinstance(header, dict):
            raise KeyError
        return header, tensors
    except FileNotFoundError:
        raise ModelError(f"no model at {path}: give the path of a .safetensors file.") from None
    except (KeyError, json.JSONDecodeError):
        raise ModelError(
            f"{path} is a safetensors file but no vqaudio model: it lacks vqaudio's header."
        ) from None
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{path} cannot be read as a model ({error}): give a .safetensors file that "
            "vqaudio wrote."
        ) from None


def _weights(codec: Codec) -> dict[str, Tensor]:
    """All that a model file stores, by name."""
    tensors = {
        name: tensor
        for name, tensor in codec.state_dict().items()
        if not name.startswith("quantizer.")
    }
    for index, book in enumerate(codec.quantizer.books):
        for name, tensor in book.stored().items():
            tensors[f"quantizer.codebooks.{index}.{name}"] = tensor
    return tensors


CODE_FACTS: Any = {
    "sample_rate": True,
    "causal": True,
    "backbone": {"family", "hop_length", "window_length", "strides", "width", "encoder_blocks"},
}
"""What of a configuration has a say in codes. Named one by one: a key that is added to the
configuration later must not give the models of today another fingerprint."""


QUANTIZER_FACTS: dict[str, Any] = {
    "cosine": {"quantizer": {"codebook"}},
    "fsq": {"quantizer": {"codebook", "fsq_levels"}},
}
"""What has a say beside the stored tensors of a codebook, by its kind."""


def _fingerprint(config: CodecConfig, weights: dict[str, Tensor]) -> str:
    """SHA-256 over what determines codes: CODE_FACTS, encoder and codebooks as float32."""
    facts = config.model_dump(mode="json", include=CODE_FACTS)
    own = QUANTIZER_FACTS.get(config.quantizer.codebook, {})
    facts |= config.model_dump(mode="json", include=own)
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name in sorted(weights):
        if name.startswith(("encoder.", "quantizer.")):
            digest.update(name.encode())
            digest.update(weights[name].detach().to("cpu", torch.float32).numpy().tobytes())
    return digest.hexdigest()[:16]


def _checksum(tensors: dict[str, Tensor]) -> str:
    """SHA-256 over all weights as they are stored."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype}".encode())
        digest.update(tensors[name].flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
