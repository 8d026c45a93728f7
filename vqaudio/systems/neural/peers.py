"""The neural codecs by name: where their weights are, and what they can send."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from vqaudio.errors import VqaudioError
from vqaudio.systems.neural.dac import Dac
from vqaudio.systems.neural.encodec import Encodec
from vqaudio.systems.neural.mimi import Mimi
from vqaudio.systems.neural.neural import NeuralCoder, NeuralSystem
from vqaudio.systems.neural.snac import Snac
from vqaudio.systems.neural.weights import find_weights
from vqaudio.systems.neural.xcodec import XCodec

Kind = type[Encodec] | type[Dac] | type[Mimi] | type[XCodec] | type[Snac]

SAFETENSORS = ("config.json", "model.safetensors")


class Peer(NamedTuple):
    """A published model."""

    label: str
    repository: str
    """On the hub of Hugging Face."""
    kind: Kind
    rates: tuple[float, ...]
    """bit/s."""
    files: tuple[str, ...] = SAFETENSORS


def _multiples(rate: float, counts: Iterable[int]) -> tuple[float, ...]:
    return tuple(rate * count for count in counts)


ENCODEC_RATES = (1500.0, 3000.0, 6000.0, 12000.0, 24000.0)
PEERS = {
    "encodec": Peer("EnCodec", "facebook/encodec_24khz", Encodec, ENCODEC_RATES),
    "dac": Peer("DAC 16 kHz", "descript/dac_16khz", Dac, _multiples(500, range(1, 13))),
    "dac-24k": Peer("DAC 24 kHz", "descript/dac_24khz", Dac, _multiples(750, range(1, 33))),
    "dac-44k": Peer(
        "DAC 44.1 kHz", "descript/dac_44khz", Dac, _multiples(441000 / 512, range(1, 10))
    ),
    "mimi": Peer("Mimi", "kyutai/mimi", Mimi, _multiples(137.5, range(2, 33))),
    "x-codec": Peer(
        "X-Codec",
        "hf-audio/xcodec-hubert-librispeech",
        XCodec,
        (500.0, 1000.0, 1500.0, 2000.0, 4000.0),
    ),
    "snac": Peer(
        "SNAC",
        "hubertsiuzdak/snac_24khz",
        Snac,
        (984.375,),
        ("config.json", "pytorch_model.bin"),
    ),
}


def find_peer(
    name: str, key: str, folder: str | None, bitrate: float | None, *, device: str
) -> NeuralSystem:
    """The system `name`: PEERS[key] with the weights of `folder` (None: the published ones).

    Raises VqaudioError for a bitrate that it lacks, MissingError, ModelError.
    """
    peer = PEERS[key]
    if folder is None:  # before anything is fetched
        bitrate = choose(bitrate, peer.rates, key)
    coder, rate = find_coder(key, folder, bitrate, device=device)
    return NeuralSystem(
        name, coder, label=f"{peer.label} {rate / 1000:.4g} kbit/s", family=peer.label
    )


def find_coder(
    key: str, folder: str | None, bitrate: float | None, *, device: str
) -> tuple[NeuralCoder, float]:
    """The model itself, and its bit/s; systems of several bitrates share the weights.

    Raises VqaudioError for a bitrate that it lacks, MissingError, ModelError.
    """
    peer = PEERS[key]
    source = peer.repository if folder is None else folder
    weights = find_weights(source, peer.files)
    model = _load(peer.kind.load, weights, device)
    rates = peer.kind.rates(model)
    rate = choose(bitrate, rates, key)
    coder = peer.kind(model, rates[rate])
    coder.about["model"] = source
    return coder, rate


def choose(bitrate: float | None, rates: Iterable[float], name: str) -> float:
    """That of `rates` which is `bitrate` within a thousandth; None where there is only one.

    Raises VqaudioError.
    """
    available = list(rates)
    if bitrate is None and len(available) == 1:
        return available[0]
    for rate in available:
        if bitrate is not None and math.isclose(rate, bitrate, rel_tol=1e-3):
            return rate
    came = "needs a bitrate" if bitrate is None else f"has no {bitrate:g} bit/s"
    allowed = ", ".join(f"{name}@{rate:g}" for rate in available)
    raise VqaudioError(f"{name} {came}: choose from {allowed}")


@lru_cache(maxsize=4)
def _load(load: Callable[[Path, str], Any], folder: Path, device: str) -> Any:
    return load(folder, device)
