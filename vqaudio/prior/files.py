"""Prior files: one safetensors file, weights and all that is needed to use them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from vqaudio.errors import ModelError, VqaudioError
from vqaudio.files import atomic
from vqaudio.prior.config import PriorConfig
from vqaudio.prior.model import Prior

FORMAT_VERSION = 1


class PriorFile(NamedTuple):
    """A prior as it comes from a file, on CPU, in evaluation mode, float32."""

    prior: Prior
    model: str
    """Fingerprint of the model whose tokens it knows."""
    sample_rate: int
    """Hz, of that model."""
    hop_length: int
    """Samples per frame, of that model."""
    fingerprint: str
    """16 hexadecimal digits of all that has a say in its probabilities."""
    card: dict[str, Any]

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop_length


def save_prior(
    path: Path,
    prior: Prior,
    *,
    model: str,
    sample_rate: int,
    hop_length: int,
    card: dict[str, Any],
) -> str:
    """Write a prior to `path` in place of what is there; returns the fingerprint."""
    tensors = _weights(prior)
    facts = {
        "format_version": FORMAT_VERSION,
        "config": prior.config.model_dump(mode="json"),
        "codebook_sizes": list(prior.codebook_sizes),
        "speakers": list(prior.speakers),
        "model": model,
        "sample_rate": sample_rate,
        "hop_length": hop_length,
    }
    fingerprint = _fingerprint(facts, tensors)
    header = json.dumps({**facts, "fingerprint": fingerprint, "card": card})
    with atomic(path) as temporary:
        temporary.write_bytes(save(tensors, {"vqaudio_prior": header}))
    return fingerprint


def load_prior(path: Path) -> PriorFile:
    """Read what `save_prior` wrote, or the prior of a run folder.

    Raises ModelError when it is missing, damaged or something else.
    """
    path = path / "prior.safetensors" if path.is_dir() else path
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise ModelError(
            f"no prior at {path}: give a file that `vqaudio prior train` wrote"
        ) from None
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} cannot be read as a prior ({error}): get it again") from None
    try:
        header = json.loads(metadata["vqaudio_prior"])
        version = header["format_version"]
    except (KeyError, TypeError, ValueError):
        raise ModelError(
            f"{path} is a safetensors file but no prior of vqaudio: it lacks the header"
        ) from None
    if version != FORMAT_VERSION:
        raise ModelError(
            f"{path} has prior format {version}, this vqaudio reads {FORMAT_VERSION}: install the "
            "vqaudio it was written with, or a newer one"
        )
    try:
        return _from_parts(header, tensors)
    except VqaudioError:  # a library that is not installed
        raise
    except Exception as error:  # whatever another program wrote there
        reason = (str(error).splitlines() or [""])[0]
        raise ModelError(
            f"{path} does not hold the prior that its header describes ({reason}): get it again"
        ) from error


def _from_parts(header: dict[str, Any], tensors: dict[str, Tensor]) -> PriorFile:
    """Raises ValueError and others where they do not fit."""
    card, fingerprint = header.pop("card"), header.pop("fingerprint")
    if _fingerprint(header, tensors) != fingerprint:
        raise ValueError("it is damaged")
    config = PriorConfig.model_validate_json(json.dumps(header["config"]))
    prior = Prior(config, header["codebook_sizes"], speakers=header["speakers"])
    if set(tensors) != set(_weights(prior)):
        raise ValueError("it has other weights")
    prior.load_state_dict(tensors, strict=False)  # without the output, see `_weights`
    return PriorFile(
        prior.eval(),
        header["model"],
        header["sample_rate"],
        header["hop_length"],
        fingerprint,
        card,
    )


def _weights(prior: Prior) -> dict[str, Tensor]:
    # The output is the table of embeddings, and would be stored twice.
    return {
        name: tensor.detach().to("cpu", torch.float32).contiguous()
        for name, tensor in prior.state_dict().items()
        if not name.endswith("lm_head.weight")
    }


def _fingerprint(facts: dict[str, Any], tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].numpy().tobytes())
    return digest.hexdigest()[:16]
