"""Whatever `vqaudio.load` takes: one encoding carries every number of levels."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

from vqaudio.errors import VqaudioError
from vqaudio.hub import PEER_PREFIX
from vqaudio.systems.carrying import checked, fit, to_rate
from vqaudio.systems.system import Transmission, Waveform

if TYPE_CHECKING:
    from vqaudio.tokenizer import Tokenizer
    from vqaudio.tokens import Tokens


class Encoding(NamedTuple):
    """The tokens of one waveform, all levels."""

    tokens: Tokens
    seconds: float
    """That it took to compute them; its share, in a batch."""


class Encoder:
    """A model and what it last encoded.

    Codes of fewer levels are a prefix of those of more, so the systems of one model share an
    encoding; each reports the time that it took, as if it had been alone.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self._kept: dict[bytes, Encoding] = {}

    def encode(self, waveforms: Sequence[Waveform], sample_rate: int) -> list[Encoding]:
        """Of each waveform; only the last ones are kept. Raises AudioError."""
        keys = [_key(waveform, sample_rate) for waveform in waveforms]
        if any(key not in self._kept for key in keys):
            started = perf_counter()
            tokens = self.tokenizer.encode_batch(waveforms, sample_rate)
            seconds = (perf_counter() - started) / sum(map(len, waveforms))
            self._kept = {
                key: Encoding(one, seconds * len(waveform))
                for key, one, waveform in zip(keys, tokens, waveforms, strict=True)
            }
        return [self._kept[key] for key in keys]


class Own:
    """A model at one number of levels."""

    def __init__(self, name: str, encoder: Encoder, *, family: str, levels: int) -> None:
        codec = encoder.tokenizer.codec
        self.name = name
        self.family = family
        self.label = f"{family} {codec.bitrate(levels) / 1000:g} kbit/s"
        self.delay = 0  # a decoder is trained to give back each sample in its place
        self.codebook_sizes = codec.codebook_sizes[:levels]
        self.levels = levels
        self.encoder = encoder
        self.about = {
            "model": encoder.tokenizer.fingerprint,
            "mode": f"{levels} of {len(codec.codebook_sizes)} levels",
            "frame rate": f"{codec.frame_rate:g} Hz",
            "bits": "codes stored plainly",
            "sample rate inside": f"{codec.sample_rate} Hz",
            "device": str(encoder.tokenizer.device),
        }

    def prepare(self, waveforms: Sequence[Waveform], sample_rate: int) -> None:
        """Encode all in one batch, for all systems of this model."""
        if waveforms:
            self.encoder.encode([checked(one, sample_rate) for one in waveforms], sample_rate)

    def transmit(self, waveform: Waveform, sample_rate: int) -> Transmission:
        """Raises AudioError."""
        waveform = checked(waveform, sample_rate)
        (encoding,) = self.encoder.encode([waveform], sample_rate)
        tokens = encoding.tokens.first(self.levels)
        tokenizer = self.encoder.tokenizer
        started = perf_counter()
        decoded = tokenizer.decode(tokens)[0].numpy()
        decoded = to_rate(decoded, tokenizer.sample_rate, sample_rate)
        return Transmission(
            fit(decoded, len(waveform)),
            math.ceil(tokens.num_frames * sum(map(math.log2, self.codebook_sizes))),
            encoding.seconds,
            perf_counter() - started,
            tokens.codes,
        )


def find_own(name: str, model: str, bitrate: float | None, *, device: str) -> Own:
    """The system `name`: `model` at `bitrate` (bit/s, None: all levels).

    Raises ModelError for a model or device that is none, VqaudioError for another bitrate.
    """
    encoder = find_encoder(model, device)
    codec = encoder.tokenizer.codec
    most = len(codec.codebook_sizes)
    rates = {levels: codec.bitrate(levels) for levels in range(codec.min_codebooks, most + 1)}
    family = _family(model)
    if bitrate is None:
        return Own(name, encoder, family=family, levels=most)
    for levels, rate in rates.items():
        if math.isclose(rate, bitrate, rel_tol=1e-3):
            return Own(name, encoder, family=family, levels=levels)
    allowed = ", ".join(f"{rate:g}" for rate in rates.values())
    raise VqaudioError(f"{model} has no {bitrate:g} bit/s: choose from {allowed}")


def _family(model: str) -> str:
    """What a table calls it."""
    if model.startswith(PEER_PREFIX):
        return model.removeprefix(PEER_PREFIX)
    path = Path(model)
    # A run folder names its file no better than model.safetensors.
    title = path.parent.name if path.stem == "model" and path.parent.name else path.stem
    return f"vqaudio {title}"


def find_encoder(model: str, device: str) -> Encoder:
    """One for all systems of a model file on a device, as long as the file stays as it is.

    Raises ModelError.
    """
    file = Path(model) / "model.safetensors" if os.path.isdir(model) else Path(model)
    changed = file.stat().st_mtime_ns if file.is_file() else None
    return _load(model, device, changed)


@lru_cache(maxsize=4)
def _load(model: str, device: str, changed: int | None) -> Encoder:
    from vqaudio.tokenizer import load

    return Encoder(load(model, device=device))


def _key(waveform: Waveform, sample_rate: int) -> bytes:
    return hashlib.sha256(waveform.tobytes()).digest() + sample_rate.to_bytes(4, "little")
